import { createHash } from 'node:crypto';
import { PAGE_LENGTH } from '../copy/geometry.js';

const ZERO_PAGE = Buffer.alloc(PAGE_LENGTH);

/**
 * The SHA-256 of zeros: tells frames of zeros, which an increment stores as data, from others without reading them.
 * Digests of whole pages are kept, one per page of the longest frame.
 */
export class ZeroDigests {
  readonly #hash = createHash('sha256');
  /** Of one page, of two, … */
  readonly #digests: Buffer[] = [];

  /** Whether `digest` is that of `length` zeros. */
  matches(length: number, digest: Buffer): boolean {
    return this.#digestOf(length).equals(digest);
  }

  #digestOf(length: number): Buffer {
    const pages = Math.floor(length / PAGE_LENGTH);
    while (this.#digests.length < pages) {
      this.#hash.update(ZERO_PAGE);
      this.#digests.push(this.#hash.copy().digest());
    }
    const known = length % PAGE_LENGTH === 0 ? this.#digests[pages - 1] : undefined;
    return known ?? digestOfZeros(length);
  }
}

/** Only the end of a disk is no whole page. */
function digestOfZeros(length: number): Buffer {
  const hash = createHash('sha256');
  for (let at = 0; at < length; at += PAGE_LENGTH) hash.update(ZERO_PAGE.subarray(0, length - at));
  return hash.digest();
}
