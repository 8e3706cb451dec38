/** An element of the XML that XML-RPC needs: no attributes, no namespaces. */
export interface XmlElement {
  readonly name: string;
  readonly children: readonly XmlElement[];
  /** The text directly inside, entities resolved. */
  readonly text: string;
}

/** Deeper nesting than any XenAPI call has. */
const MAX_DEPTH = 64;
const TOKEN = /<\?[^>]*\?>|<!--[\s\S]*?-->|<(\/?)([A-Za-z][\w.]*)\s*(\/?)>|([^<]+)/gy;
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['quot', '"'],
  ['apos', "'"],
]);

interface OpenElement {
  readonly name: string;
  readonly children: XmlElement[];
  text: string;
}

/**
 * Parses one document into its root element.
 * @throws SyntaxError for anything else
 */
export function parseXml(source: string): XmlElement {
  const top: OpenElement = { name: '', children: [], text: '' };
  const open: OpenElement[] = [top];
  const token = new RegExp(TOKEN);
  while (token.lastIndex < source.length) {
    const at = token.lastIndex;
    const match = token.exec(source);
    if (match === null) throw new SyntaxError(`not XML at character ${at}`);
    const [, closing, name, selfClosing, text] = match;
    const current = last(open);
    if (text !== undefined) current.text += unescapeXml(text);
    if (name === undefined) continue;
    if (closing === '/') close(open, name);
    else if (selfClosing === '/') current.children.push({ name, children: [], text: '' });
    else open.push({ name, children: [], text: '' });
    if (open.length > MAX_DEPTH) throw new SyntaxError('nested too deeply');
  }
  const [root, ...others] = top.children;
  if (open.length !== 1 || root === undefined || others.length > 0) throw new SyntaxError('not one XML document');
  return root;
}

/** Text with the three characters that XML forbids replaced. */
export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function close(open: OpenElement[], name: string): void {
  const element = open.pop();
  const parent = open.at(-1);
  if (element === undefined || parent === undefined || element.name !== name) {
    throw new SyntaxError(`</${name}> closes nothing`);
  }
  parent.children.push(element);
}

function last(open: readonly OpenElement[]): OpenElement {
  const element = open.at(-1);
  if (element === undefined) throw new SyntaxError('text outside of the document');
  return element;
}

function unescapeXml(text: string): string {
  return text.replace(/&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi, (whole, hex?: string, decimal?: string, name?: string) => {
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (decimal !== undefined) return String.fromCodePoint(Number.parseInt(decimal, 10));
    return ENTITIES.get(name ?? '') ?? whole;
  });
}
