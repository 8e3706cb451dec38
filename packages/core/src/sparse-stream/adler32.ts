import { systemAdler32 } from './adler32-system.js';

/** The largest prime below 2^16 (RFC 1950, "ADLER32"). */
const BASE = 65521;
const HIGH_WORD = 0x1_0000;
/**
 * As many bytes as fit before the sums outgrow 31 bits, even if all are 255: BASE·n + 255·n·(n + 1) / 2 < 2^31. Beyond that the
 * engine counts with doubles, which takes half as long again.
 */
const RUN_LENGTH = 3800;

/** Goes on with a sum (unsigned 32 bits, of nothing: 1) over more bytes; these may lie in shared memory. */
export type Adler32Update = (sum: number, bytes: Uint8Array) => number;

/** {@link Adler32Update} in JavaScript, for machines that have nothing faster. */
export const adler32Loop: Adler32Update = (sum, bytes) => {
  let low = sum % HIGH_WORD;
  let high = Math.floor(sum / HIGH_WORD);
  for (let from = 0; from < bytes.length; from += RUN_LENGTH) {
    const end = Math.min(from + RUN_LENGTH, bytes.length);
    let at = from;
    for (; at + 8 <= end; at += 8) {
      high += low += bytes[at] ?? 0;
      high += low += bytes[at + 1] ?? 0;
      high += low += bytes[at + 2] ?? 0;
      high += low += bytes[at + 3] ?? 0;
      high += low += bytes[at + 4] ?? 0;
      high += low += bytes[at + 5] ?? 0;
      high += low += bytes[at + 6] ?? 0;
      high += low += bytes[at + 7] ?? 0;
    }
    for (; at < end; at += 1) high += low += bytes[at] ?? 0;
    low %= BASE;
    high %= BASE;
  }
  return high * HIGH_WORD + low;
};

let chosen: Adler32Update | undefined;

/** The fastest that this machine has; found with the first call, per thread. */
function fastest(): Adler32Update {
  chosen ??= systemAdler32()?.update ?? adler32Loop;
  return chosen;
}

/**
 * Adler-32 (RFC 1950), start value 1, over bytes that come in pieces. virtnbdbackup writes it in decimal ASCII, without
 * a line end, to `<file>.chksum`.
 */
export class Adler32 {
  readonly #update: Adler32Update;
  #sum = 1;

  /** @param update - what counts, if not the fastest that this machine has */
  constructor(update: Adler32Update = fastest()) {
    this.#update = update;
  }

  update(bytes: Uint8Array): this {
    this.#sum = this.#update(this.#sum, bytes);
    return this;
  }

  /** The sum so far, unsigned 32 bits; more bytes may follow. */
  digest(): number {
    return this.#sum;
  }
}

/** Adler-32 of one piece, unsigned 32 bits. */
export const adler32 = (bytes: Uint8Array): number => new Adler32().update(bytes).digest();
