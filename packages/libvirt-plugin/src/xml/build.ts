import { DOMImplementation, type Document, type Element, XMLSerializer } from '@xmldom/xmldom';

/** An element that is to be written. */
export interface XmlElement {
  readonly name: string;
  /** Those that are undefined are left out. */
  readonly attributes?: Readonly<Record<string, string | undefined>> | undefined;
  readonly children?: readonly XmlElement[] | undefined;
  readonly text?: string | undefined;
}

/** Writes a document; everything that needs it is escaped. */
export function buildXml(root: XmlElement): string {
  const document = new DOMImplementation().createDocument(null, '');
  document.appendChild(elementOf(document, root));
  return new XMLSerializer().serializeToString(document);
}

function elementOf(document: Document, { name, attributes = {}, children = [], text }: XmlElement): Element {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(key, value);
  }
  for (const child of children) element.appendChild(elementOf(document, child));
  if (text !== undefined) element.appendChild(document.createTextNode(text));
  return element;
}
