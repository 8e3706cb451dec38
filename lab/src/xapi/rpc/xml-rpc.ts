import type { RpcCall, RpcReply } from './call.js';
import { DateTime, Double, Int32, isList, type XenStruct, type XenValue } from './value.js';
import { escapeXml, parseXml, type XmlElement } from './xml-tree.js';

/**
 * Reads `<methodCall>`.
 * @throws SyntaxError when it is not one
 */
export function parseXmlCall(body: string): RpcCall {
  const root = parseXml(body);
  const method = child(root, 'methodName')?.text.trim();
  if (root.name !== 'methodCall' || method === undefined) throw new SyntaxError('not a methodCall');
  const params = child(root, 'params')?.children ?? [];
  return { method, params: params.map((param) => valueOf(child(param, 'value'))) };
}

/** `<methodResponse>`: the XenAPI envelope, or the bare value of a `system.` method. */
export function formatXmlReply(reply: RpcReply): string {
  return `<?xml version="1.0"?><methodResponse><params><param>${formatXmlValue(enveloped(reply))}</param></params></methodResponse>`;
}

/** `<value>…</value>`, also the form of a task's `result`. */
export function formatXmlValue(value: XenValue): string {
  return `<value>${formatBare(value)}</value>`;
}

function enveloped(reply: RpcReply): XenValue {
  switch (reply.kind) {
    case 'raw':
      return reply.value;
    case 'success':
      return { Status: 'Success', Value: reply.value };
    case 'failure':
      return { Status: 'Failure', ErrorDescription: reply.description };
  }
}

function formatBare(value: XenValue): string {
  if (typeof value === 'string') return escapeXml(value);
  if (typeof value === 'number') return String(value);
  if (typeof value === 'boolean') return `<boolean>${value ? 1 : 0}</boolean>`;
  if (value instanceof Double) return `<double>${value.value}</double>`;
  if (value instanceof Int32) return `<i4>${value.value}</i4>`;
  if (value instanceof DateTime) return `<dateTime.iso8601>${value.toString()}</dateTime.iso8601>`;
  if (isList(value)) return `<array><data>${value.map(formatXmlValue).join('')}</data></array>`;
  return formatStruct(value);
}

function formatStruct(struct: XenStruct): string {
  const members = Object.entries(struct).map(
    ([name, value]) => `<member><name>${escapeXml(name)}</name>${formatXmlValue(value)}</member>`,
  );
  return `<struct>${members.join('')}</struct>`;
}

function valueOf(value: XmlElement | undefined): XenValue {
  if (value === undefined) throw new SyntaxError('a param or member has no value');
  const typed = value.children[0];
  if (typed === undefined) return value.text;
  switch (typed.name) {
    case 'string':
      return typed.text;
    case 'int':
    case 'i4':
    case 'i8':
      return number(typed.text, /^[+-]?\d+$/);
    case 'boolean':
      return number(typed.text, /^[01]$/) === 1;
    case 'double':
      return new Double(number(typed.text, /^[+-]?\d/));
    case 'dateTime.iso8601':
      return typed.text.trim();
    case 'array':
      return (child(typed, 'data')?.children ?? []).map(valueOf);
    case 'struct':
      return Object.fromEntries(
        typed.children.map((member) => [child(member, 'name')?.text ?? '', valueOf(child(member, 'value'))]),
      );
    default:
      throw new SyntaxError(`<${typed.name}> is not a type of XML-RPC that XenAPI takes`);
  }
}

function number(text: string, form: RegExp): number {
  if (!form.test(text.trim())) throw new SyntaxError(`${text} is not a number`);
  return Number(text);
}

function child(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((candidate) => candidate.name === name);
}
