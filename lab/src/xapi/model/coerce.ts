import { XapiFailure } from '../rpc/call.js';
import { DateTime, Double, isList, isStruct, NULL_REF, type XenStruct, type XenValue } from '../rpc/value.js';
import type { Field, FieldKind } from './schema.js';

/** What a field holds before anyone sets it. */
export function defaultOf(kind: FieldKind): XenValue {
  switch (kind) {
    case 'string':
      return '';
    case 'int':
      return 0;
    case 'bool':
      return false;
    case 'float':
      return new Double(0);
    case 'datetime':
      return new DateTime(new Date(0));
    case 'ref':
      return NULL_REF;
    case 'set':
      return [];
    case 'map':
    case 'intmap':
      return {};
  }
}

/**
 * A value from the wire as the field's kind, or FIELD_TYPE_ERROR. Integers come as decimal strings (XML-RPC) or as
 * numbers (JSON-RPC); a float must be a double.
 */
export function coerce({ name, kind }: Pick<Field, 'name' | 'kind'>, value: XenValue | undefined): XenValue {
  switch (kind) {
    case 'string':
    case 'ref':
    case 'datetime':
      return stringOf(name, value);
    case 'int':
      return integerOf(name, value);
    case 'bool':
      if (typeof value === 'boolean') return value;
      throw typeError(name);
    case 'float':
      if (value instanceof Double) return value;
      throw typeError(name);
    case 'set':
      return listOf(name, value).map((item) => stringOf(name, item));
    case 'map':
      return mapOf(name, value, (item) => stringOf(name, item));
    case 'intmap':
      return mapOf(name, value, (item) => integerOf(name, item));
  }
}

export function stringOf(name: string, value: XenValue | undefined): string {
  if (typeof value === 'string') return value;
  throw typeError(name);
}

export function integerOf(name: string, value: XenValue | undefined): number {
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isSafeInteger(number)) return number;
  throw typeError(name);
}

export function listOf(name: string, value: XenValue | undefined): readonly XenValue[] {
  if (isList(value)) return value;
  throw typeError(name);
}

export function structOf(name: string, value: XenValue | undefined): XenStruct {
  if (isStruct(value)) return value;
  throw typeError(name);
}

function mapOf(name: string, value: XenValue | undefined, item: (value: XenValue) => XenValue): XenStruct {
  return Object.fromEntries(Object.entries(structOf(name, value)).map(([key, member]) => [key, item(member)]));
}

function typeError(name: string): XapiFailure {
  return new XapiFailure('FIELD_TYPE_ERROR', name);
}
