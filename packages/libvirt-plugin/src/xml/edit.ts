import { type Element, XMLSerializer } from '@xmldom/xmldom';
import { childrenOf } from './parse.js';

/** The text of an element with all that is in it. */
export const serializeXml = (root: Element): string => new XMLSerializer().serializeToString(root);

export function removeChildren(parent: Element | undefined, ...names: readonly string[]): void {
  for (const name of names) for (const child of childrenOf(parent, name)) parent?.removeChild(child);
}

/** Replaces everything in an element. */
export function setText(element: Element, text: string): void {
  element.textContent = text;
}

/** A new element at the end of another one. */
export function appendElement(
  parent: Element,
  name: string,
  attributes: Readonly<Record<string, string>> = {},
): Element {
  const element = parent.ownerDocument?.createElement(name);
  if (element === undefined) throw new TypeError(`<${parent.tagName}> belongs to no document`);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent.appendChild(element);
  return element;
}
