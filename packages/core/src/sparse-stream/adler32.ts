import { deflateSync } from 'node:zlib';

/** The largest prime below 2^16 (RFC 1950, "ADLER32"). */
const BASE = 65521;
/** As many bytes as fit before a sum must be reduced, were it held in 32 bits; doubles have room to spare. */
const RUN_LENGTH = 5552;
/** Shorter pieces are summed here: to call zlib costs more. */
const SHORTEST_FOR_ZLIB = 16 * 1024;
/** What zlib adds to bytes that it does not compress: its header, five bytes per 64 KiB, and the sum. */
const STORED_GROWTH = 1024;
const PIECE_LENGTH = 256 * 1024;
const SUM_LENGTH = 4;

/**
 * Adler-32 (RFC 1950), start value 1, over bytes that come in pieces. virtnbdbackup writes it in decimal ASCII, without
 * a line end, to `<file>.chksum`.
 */
export class Adler32 {
  #low = 1;
  #high = 0;

  update(bytes: Uint8Array): this {
    for (let at = 0; at < bytes.length; at += PIECE_LENGTH) {
      const piece = bytes.subarray(at, at + PIECE_LENGTH);
      if (piece.length < SHORTEST_FOR_ZLIB) this.#add(piece);
      else this.#join(sumByZlib(piece), piece.length);
    }
    return this;
  }

  /** The sum so far, unsigned 32 bits; more bytes may follow. */
  digest(): number {
    return this.#high * 0x1_0000 + this.#low;
  }

  #add(bytes: Uint8Array): void {
    let low = this.#low;
    let high = this.#high;
    for (let from = 0; from < bytes.length; from += RUN_LENGTH) {
      const end = Math.min(from + RUN_LENGTH, bytes.length);
      for (let at = from; at < end; at += 1) high += low += bytes[at] ?? 0;
      low %= BASE;
      high %= BASE;
    }
    this.#low = low;
    this.#high = high;
  }

  /** What follows was summed by itself, from 1: as zlib's adler32_combine. */
  #join(sum: number, length: number): void {
    const [low, high] = [sum % 0x1_0000, Math.floor(sum / 0x1_0000)];
    this.#high = (this.#high + high + (length % BASE) * ((this.#low + BASE - 1) % BASE)) % BASE;
    this.#low = (this.#low + low + BASE - 1) % BASE;
  }
}

/** Node shows zlib's Adler-32 only at the end of a zlib stream (RFC 1950): one that stores is three times as fast as a loop. */
function sumByZlib(bytes: Uint8Array): number {
  const stream = deflateSync(bytes, { level: 0, chunkSize: bytes.length + STORED_GROWTH });
  return stream.readUInt32BE(stream.length - SUM_LENGTH);
}

/** Adler-32 of one piece, unsigned 32 bits. */
export const adler32 = (bytes: Uint8Array): number => new Adler32().update(bytes).digest();
