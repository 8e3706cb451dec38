/** A XenAPI float: `<double>` in XML-RPC. */
export class Double {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A real 32-bit `<i4>`; XenAPI uses it in `valid_ref_counts` only, its other integers travel as strings. */
export class Int32 {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A XenAPI datetime, in whole seconds, UTC. */
export class DateTime {
  readonly time: Date;
  constructor(time: Date) {
    this.time = time;
  }
  /** E.g. `20240101T00:00:00Z`. */
  toString(): string {
    return `${this.time.toISOString().slice(0, 19).replaceAll('-', '')}Z`;
  }
}

/**
 * A value as XenAPI types it. A plain `number` is a 64-bit integer: a decimal string in XML-RPC, a number in JSON.
 * Void is the empty string, a reference is a string.
 */
export type XenValue = string | number | boolean | Double | Int32 | DateTime | readonly XenValue[] | XenStruct;

export interface XenStruct {
  readonly [member: string]: XenValue;
}

/** The reference that points nowhere. */
export const NULL_REF = 'OpaqueRef:NULL';

export function isList(value: XenValue | undefined): value is readonly XenValue[] {
  return Array.isArray(value);
}

export function isStruct(value: XenValue | undefined): value is XenStruct {
  return (
    typeof value === 'object' &&
    !isList(value) &&
    !(value instanceof Double || value instanceof Int32 || value instanceof DateTime)
  );
}
