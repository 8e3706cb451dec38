import { PAGE_LENGTH } from './geometry.js';

const ZERO_PAGE = Buffer.alloc(PAGE_LENGTH);

export interface Run {
  readonly kind: 'data' | 'zero';
  /** In the buffer. */
  readonly offset: number;
  readonly length: number;
}

/** Whether every byte is zero; up to one page at a time is compared, which is as fast as memory. */
function isZero(bytes: Buffer): boolean {
  return bytes.length === PAGE_LENGTH ? bytes.equals(ZERO_PAGE) : bytes.equals(ZERO_PAGE.subarray(0, bytes.length));
}

/**
 * Splits a buffer into runs of zero pages and of others: a complete cover, ascending. Runs of zeros shorter than
 * `shortestZeroRun` count as data, unless the whole buffer is zero.
 */
export function* zeroRuns(bytes: Buffer, shortestZeroRun: number): Generator<Run> {
  let dataFrom = 0;
  let at = 0;
  while (at < bytes.length) {
    const end = endOfZeros(bytes, at);
    const zeros = end - at;
    if (zeros >= shortestZeroRun || zeros === bytes.length) {
      if (at > dataFrom) yield { kind: 'data', offset: dataFrom, length: at - dataFrom };
      yield { kind: 'zero', offset: at, length: zeros };
      dataFrom = end;
    }
    at = zeros > 0 ? end : Math.min(at + PAGE_LENGTH, bytes.length);
  }
  if (bytes.length > dataFrom) yield { kind: 'data', offset: dataFrom, length: bytes.length - dataFrom };
}

function endOfZeros(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length) {
    const end = Math.min(at + PAGE_LENGTH, bytes.length);
    if (!isZero(bytes.subarray(at, end))) break;
    at = end;
  }
  return at;
}
