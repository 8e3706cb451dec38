import { VBackupError } from '@vbackup/core';
import { DOMParser, type Element, onErrorStopParsing } from '@xmldom/xmldom';

/**
 * The root element of what libvirt said.
 * @param what - for the message: `the definition of web`
 * @throws VBackupError VB_LIBVIRT_XML if it is no XML
 */
export function parseXml(text: string, what: string): Element {
  try {
    const root = new DOMParser({ onError: onErrorStopParsing }).parseFromString(text, 'text/xml').documentElement;
    if (root !== null) return root;
  } catch (error) {
    throw new VBackupError('VB_LIBVIRT_XML', `${what} is not XML`, { cause: error });
  }
  throw new VBackupError('VB_LIBVIRT_XML', `${what} is empty`);
}

/** The children of an element that have this name, in their order. */
export const childrenNamed = (element: Element, name: string): readonly Element[] =>
  Array.from(element.children).filter((child) => child.nodeName === name);
