import type { RpcCall, RpcReply } from './call.js';
import { DateTime, Double, Int32, isList, type XenValue } from './value.js';

/** A JSON-RPC call with what its answer must repeat. */
export interface JsonCall extends RpcCall {
  readonly version: 1 | 2;
  readonly id: string | number | null;
}

type Json = string | number | boolean | null | readonly Json[] | { readonly [member: string]: Json };

/**
 * Reads a JSON-RPC 1.0 or 2.0 request.
 * @throws SyntaxError when it is neither
 */
export function parseJsonCall(body: string): JsonCall {
  const request: unknown = JSON.parse(body);
  if (!isObject(request)) throw new SyntaxError('not a JSON-RPC request');
  const { jsonrpc, method, params = [], id = null } = request;
  if (typeof method !== 'string' || !Array.isArray(params)) throw new SyntaxError('not a JSON-RPC request');
  if (id !== null && typeof id !== 'string' && typeof id !== 'number') throw new SyntaxError('not a JSON-RPC id');
  return { version: jsonrpc === '2.0' ? 2 : 1, id, method, params: params.map(fromJson) };
}

export function formatJsonReply(call: JsonCall, reply: RpcReply): string {
  return JSON.stringify(call.version === 2 ? version2(call, reply) : version1(call, reply));
}

function version1({ id }: JsonCall, reply: RpcReply): Json {
  return reply.kind === 'failure'
    ? { result: null, error: reply.description, id }
    : { result: toJson(reply.value), error: null, id };
}

function version2({ id }: JsonCall, reply: RpcReply): Json {
  if (reply.kind !== 'failure') return { jsonrpc: '2.0', result: toJson(reply.value), id };
  const [message = 'INTERNAL_ERROR', ...data] = reply.description;
  return { jsonrpc: '2.0', error: { code: 1, message, data }, id };
}

function toJson(value: XenValue): Json {
  if (typeof value !== 'object') return value;
  if (value instanceof Double || value instanceof Int32) return value.value;
  if (value instanceof DateTime) return value.toString();
  if (isList(value)) return value.map(toJson);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, toJson(member)]));
}

/** A number with a fraction is a float, one without an integer: xapi's own parser decides the same way. */
function fromJson(value: unknown): XenValue {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isInteger(value) ? value : new Double(value);
  if (Array.isArray(value)) return value.map(fromJson);
  if (isObject(value))
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fromJson(member)]));
  throw new SyntaxError('XenAPI has no null');
}

function isObject(value: unknown): value is { readonly [member: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
