import xmlrpc from 'xmlrpc';

/**
 * What can be sent to a XenAPI host. A number is an integer: XenAPI's 64-bit integers travel as decimal strings in
 * XML-RPC and as numbers in JSON-RPC. For the rare double there is {@link XapiDouble}.
 */
export type XapiValue =
  | string
  | boolean
  | number
  | XapiDouble
  | readonly XapiValue[]
  | { readonly [name: string]: XapiValue };

/** A XenAPI `float`. It needs a type of its own: XML-RPC writes a whole number as an integer, which xapi refuses. */
export class XapiDouble {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

class XmlDouble extends xmlrpc.CustomType {
  override tagName = 'double';
}

/** As npm `xmlrpc` must be given it: integers as decimal strings, doubles as `<double>`. */
export function toXmlRpc(value: XapiValue): unknown {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return decimal(value);
  if (value instanceof XapiDouble) return new XmlDouble(doubleText(value.value));
  if (isList(value)) return value.map(toXmlRpc);
  return mapMembers(value, toXmlRpc);
}

/** As JSON can carry it. */
export function toJson(value: XapiValue): unknown {
  if (typeof value === 'number') return Number(decimal(value));
  if (value instanceof XapiDouble) return value.value;
  if (isList(value)) return value.map(toJson);
  return typeof value === 'object' ? mapMembers(value, toJson) : value;
}

/** What npm `xmlrpc` decoded, as JSON would have it: dates as ISO 8601 text, no shared prototypes. */
export function fromXmlRpc(value: unknown): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '' : value.toISOString();
  if (Array.isArray(value)) return value.map(fromXmlRpc);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fromXmlRpc(member)]));
}

/**
 * XenAPI's `20260102T03:04:05Z` or an extended ISO 8601 date, always UTC whether it ends in `Z` or not.
 * @returns null for anything else
 */
export function parseXapiDate(text: string): Date | null {
  const match = /^(\d{4})-?(\d{2})-?(\d{2})T(\d{2}):(\d{2}):(\d{2})(\.\d+)?Z?$/.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second, fraction = ''] = match;
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}${fraction.slice(0, 4)}Z`);
  return Number.isNaN(date.getTime()) ? null : date;
}

function decimal(value: number): string {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not an exact integer`);
  return value.toFixed(0);
}

function doubleText(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError(`${value} is not a number that XML-RPC can carry`);
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function isList(value: XapiValue): value is readonly XapiValue[] {
  return Array.isArray(value);
}

function mapMembers(value: XapiValue & object, map: (member: XapiValue) => unknown): Readonly<Record<string, unknown>> {
  const members: [string, XapiValue][] = Object.entries(value);
  return Object.fromEntries(members.map(([name, member]) => [name, map(member)]));
}
