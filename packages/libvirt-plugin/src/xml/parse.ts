import { VBackupError } from '@vbackup/core/errors';
import { DOMParser, type Element, MIME_TYPE } from '@xmldom/xmldom';

/** libvirt hands out at most 4 MiB of text in one answer (VIR_NET_MESSAGE_STRING_MAX). */
const MAX_XML_LENGTH = 4 * 1024 * 1024;

/**
 * The root element of a document of libvirt's.
 * @param name - what the root must be called
 * @throws VBackupError VB_LIBVIRT_XML
 */
export function parseXml(text: string, name: string): Element {
  if (text.length > MAX_XML_LENGTH) throw notXml(name, `it has ${text.length} characters`);
  let root: Element | null;
  try {
    root = new DOMParser({ onError: refuse }).parseFromString(text, MIME_TYPE.XML_APPLICATION).documentElement;
  } catch (cause) {
    throw notXml(name, 'it is no XML', cause);
  }
  if (root?.tagName === name) return root;
  throw notXml(name, `it is a <${root?.tagName ?? ''}>`);
}

/** The child elements called `name`, in their order. */
export function childrenOf(element: Element | undefined, name: string): readonly Element[] {
  if (element === undefined) return [];
  return [...element.children].filter(({ tagName }) => tagName === name);
}

/** The first child element called `name`; of several names, the first of the first, and so on down. */
export function childOf(element: Element | undefined, ...names: readonly string[]): Element | undefined {
  let found = element;
  for (const name of names) [found] = childrenOf(found, name);
  return found;
}

/** Null where it is missing or empty. */
export function attributeOf(element: Element | undefined, name: string): string | null {
  const value = element?.getAttribute(name) ?? '';
  return value === '' ? null : value;
}

/** Null where the element is missing or holds nothing but space. */
export function textOf(element: Element | undefined): string | null {
  const text = element?.textContent?.trim() ?? '';
  return text === '' ? null : text;
}

/** Even what the parser would only warn of: libvirt writes proper XML. */
function refuse(_level: string, message: string): never {
  throw new Error(message);
}

const notXml = (name: string, fault: string, cause?: unknown): VBackupError =>
  new VBackupError('VB_LIBVIRT_XML', `what libvirt gave is no <${name}>: ${fault}`, { cause });
