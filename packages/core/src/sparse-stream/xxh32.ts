/* oxlint-disable no-bitwise -- a hash is made of 32-bit words; no offset comes near it */

const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;
const PRIME_4 = 0x27d4eb2f;
const PRIME_5 = 0x165667b1;
const STRIPE_LENGTH = 16;

const rotate = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));
const round = (lane: number, word: number): number =>
  Math.imul(rotate((lane + Math.imul(word, PRIME_2)) | 0, 13), PRIME_1);

/** XXH32 with seed 0, as LZ4 frames use it (`xxhash_spec.md`, "XXH32 algorithm description"). */
export class Xxh32 {
  #a = (PRIME_1 + PRIME_2) | 0;
  #b = PRIME_2 | 0;
  #c = 0;
  #d = -PRIME_1 | 0;
  #length = 0;
  readonly #rest = Buffer.alloc(STRIPE_LENGTH);
  #restLength = 0;

  update(bytes: Buffer): this {
    this.#length += bytes.length;
    let at = 0;
    if (this.#restLength > 0) {
      at = bytes.copy(this.#rest, this.#restLength, 0, STRIPE_LENGTH - this.#restLength);
      this.#restLength += at;
      if (this.#restLength < STRIPE_LENGTH) return this;
      this.#stripes(this.#rest, 0);
      this.#restLength = 0;
    }
    at = this.#stripes(bytes, at);
    this.#restLength = bytes.copy(this.#rest, 0, at);
    return this;
  }

  /** The hash as an unsigned 32-bit number; more bytes may follow. */
  digest(): number {
    const long = this.#length >= STRIPE_LENGTH;
    let hash = long ? rotate(this.#a, 1) + rotate(this.#b, 7) + rotate(this.#c, 12) + rotate(this.#d, 18) : PRIME_5;
    hash = (hash + this.#length) | 0;
    let at = 0;
    for (; at + 4 <= this.#restLength; at += 4) {
      hash = (hash + Math.imul(this.#rest.readInt32LE(at), PRIME_3)) | 0;
      hash = Math.imul(rotate(hash, 17), PRIME_4);
    }
    for (const byte of this.#rest.subarray(at, this.#restLength)) {
      hash = (hash + Math.imul(byte, PRIME_5)) | 0;
      hash = Math.imul(rotate(hash, 11), PRIME_1);
    }
    hash = Math.imul(hash ^ (hash >>> 15), PRIME_2);
    hash = Math.imul(hash ^ (hash >>> 13), PRIME_3);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  /** Consumes whole stripes from `at` on; returns the offset of the first byte that is left. */
  #stripes(bytes: Buffer, at: number): number {
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let [a, b, c, d] = [this.#a, this.#b, this.#c, this.#d];
    let next = at;
    for (; next + STRIPE_LENGTH <= bytes.length; next += STRIPE_LENGTH) {
      a = round(a, words.getInt32(next, true));
      b = round(b, words.getInt32(next + 4, true));
      c = round(c, words.getInt32(next + 8, true));
      d = round(d, words.getInt32(next + 12, true));
    }
    [this.#a, this.#b, this.#c, this.#d] = [a, b, c, d];
    return next;
  }
}

/** XXH32 of one piece, seed 0. */
export const xxh32 = (bytes: Buffer): number => new Xxh32().update(bytes).digest();
