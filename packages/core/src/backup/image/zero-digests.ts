import { PAGE_LENGTH } from '../copy/geometry.js';
import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import { type RunningDigest, startDigest } from '../frame-digest/frame-digest.js';

const ZERO_PAGE = Buffer.alloc(PAGE_LENGTH);

/**
 * The digests of zeros: tells frames of zeros, which an increment stores as data, from others without reading them.
 * Digests of whole pages are kept, one per page of the longest frame.
 */
export class ZeroDigests {
  readonly #algorithm: DigestAlgorithm;
  /** Of all pages that `#digests` is of. */
  #pages: RunningDigest | undefined;
  /** Of one page, of two, … */
  readonly #digests: Buffer[] = [];

  constructor(algorithm: DigestAlgorithm) {
    this.#algorithm = algorithm;
  }

  /** Whether `digest` is that of `length` zeros. */
  matches(length: number, digest: Buffer): boolean {
    return this.#digestOf(length).equals(digest);
  }

  #digestOf(length: number): Buffer {
    const pages = Math.floor(length / PAGE_LENGTH);
    while (this.#digests.length < pages) {
      this.#pages ??= startDigest(this.#algorithm);
      this.#pages.add(ZERO_PAGE);
      this.#digests.push(this.#pages.digest());
    }
    const known = length % PAGE_LENGTH === 0 ? this.#digests[pages - 1] : undefined;
    return known ?? this.#digestOfZeros(length);
  }

  /** Only the end of a disk is no whole page. */
  #digestOfZeros(length: number): Buffer {
    const running = startDigest(this.#algorithm);
    for (let at = 0; at < length; at += PAGE_LENGTH) running.add(ZERO_PAGE.subarray(0, length - at));
    return running.digest();
  }
}
