export interface Run {
  readonly kind: 'data' | 'zero';
  /** In the buffer. */
  readonly offset: number;
  readonly length: number;
}

export interface ZeroRunOptions {
  /** Bytes that are compared at a time: a run of zeros begins and ends on a multiple of it. At most 64 KiB. */
  readonly unit: number;
  /** Runs of zeros shorter than this count as data, unless the whole buffer is zero. */
  readonly shortest: number;
  /** Where the buffer begins in the file whose units are meant. Default 0. */
  readonly position?: number | undefined;
}

const LONGEST_UNIT = 64 * 1024;
const ZEROS = Buffer.alloc(LONGEST_UNIT);

/** Splits a buffer into runs of zero units and of others: a complete cover, ascending. */
export function* zeroRuns(bytes: Buffer, { unit, shortest, position = 0 }: ZeroRunOptions): Generator<Run> {
  const units = { unit, phase: position % unit };
  let dataFrom = 0;
  let at = 0;
  while (at < bytes.length) {
    const end = endOfZeros(bytes, at, units);
    const zeros = end - at;
    if (zeros >= shortest || zeros === bytes.length) {
      if (at > dataFrom) yield { kind: 'data', offset: dataFrom, length: at - dataFrom };
      yield { kind: 'zero', offset: at, length: zeros };
      dataFrom = end;
    }
    at = zeros > 0 ? end : endOfUnit(bytes, at, units);
  }
  if (bytes.length > dataFrom) yield { kind: 'data', offset: dataFrom, length: bytes.length - dataFrom };
}

interface Units {
  readonly unit: number;
  /** How far into its unit the buffer begins. */
  readonly phase: number;
}

/** One unit at a time is compared, which is as fast as memory. */
function endOfZeros(bytes: Buffer, from: number, units: Units): number {
  let at = from;
  while (at < bytes.length) {
    const end = endOfUnit(bytes, at, units);
    if (ZEROS.compare(bytes, at, end, 0, end - at) !== 0) break;
    at = end;
  }
  return at;
}

const endOfUnit = (bytes: Buffer, at: number, { unit, phase }: Units): number =>
  Math.min(at + unit - ((at + phase) % unit), bytes.length);
