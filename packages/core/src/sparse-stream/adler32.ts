/** The largest prime below 2^16 (RFC 1950, "ADLER32"). */
const BASE = 65521;
/**
 * As many bytes as fit before the sums outgrow 31 bits, even if all are 255: BASE·n + 255·n·(n + 1) / 2 < 2^31. Beyond that the
 * engine counts with doubles, which takes half as long again. (zlib's own sum is faster, but Node shows it only at the end of a
 * stream, and each of these leaves memory behind.)
 */
const RUN_LENGTH = 3800;

/**
 * Adler-32 (RFC 1950), start value 1, over bytes that come in pieces. virtnbdbackup writes it in decimal ASCII, without
 * a line end, to `<file>.chksum`.
 */
export class Adler32 {
  #low = 1;
  #high = 0;

  update(bytes: Uint8Array): this {
    let low = this.#low;
    let high = this.#high;
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
    this.#low = low;
    this.#high = high;
    return this;
  }

  /** The sum so far, unsigned 32 bits; more bytes may follow. */
  digest(): number {
    return this.#high * 0x1_0000 + this.#low;
  }
}

/** Adler-32 of one piece, unsigned 32 bits. */
export const adler32 = (bytes: Uint8Array): number => new Adler32().update(bytes).digest();
