import { createHash, subtle } from 'node:crypto';

/** A device is hashed in pieces of this length; the last may be shorter. */
export const PIECE_LENGTH = 1024 * 1024;
export const SHA256_LENGTH = 32;

/** Pieces whose digests lie together in memory. */
const PAGE_PIECES = 1024;
const ZERO_PIECE = Buffer.alloc(PIECE_LENGTH);

/** Computes SHA-256 elsewhere, as in worker threads. */
export interface PieceHasher {
  /** Memory that it can hash. */
  allocate(length: number): Buffer;
  /** `bytes` lies in such memory, and belongs to the hasher until the promise settles. */
  hash(bytes: Buffer): Promise<Buffer>;
}

/** Computes at once, in this thread. */
export const plainHasher: PieceHasher = {
  allocate: (length) => Buffer.allocUnsafeSlow(length),
  hash: (bytes) => Promise.resolve(createHash('sha256').update(bytes).digest()),
};

/** Computes in the threads that Node has for this, and leaves this one free; a piece costs some more time in all. */
export const backgroundHasher: PieceHasher = {
  allocate: (length) => Buffer.allocUnsafeSlow(length),
  hash: async (bytes) => Buffer.from(await subtle.digest('SHA-256', bytes)),
};

export const isZero = (bytes: Buffer): boolean => ZERO_PIECE.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;

/** The digests of a device's pieces; one that has none is zeros. 32 bytes for each piece of data. */
export class PieceDigests {
  readonly #pages = new Map<number, Buffer>();
  #count = 0;

  /** Pieces that are not zeros. */
  get count(): number {
    return this.#count;
  }

  set(pieceIndex: number, digest: Buffer): void {
    const page = Math.floor(pieceIndex / PAGE_PIECES);
    let digests = this.#pages.get(page);
    if (digests === undefined) {
      digests = Buffer.alloc(PAGE_PIECES * SHA256_LENGTH);
      this.#pages.set(page, digests);
    }
    digest.copy(digests, (pieceIndex % PAGE_PIECES) * SHA256_LENGTH);
    this.#count += 1;
  }

  /** Lower-case hex; undefined for a piece of zeros. No data that anyone knows has a SHA-256 of zeros. */
  get(pieceIndex: number): string | undefined {
    const digests = this.#pages.get(Math.floor(pieceIndex / PAGE_PIECES));
    const at = (pieceIndex % PAGE_PIECES) * SHA256_LENGTH;
    const digest = digests?.subarray(at, at + SHA256_LENGTH);
    return digest === undefined || isZero(digest) ? undefined : digest.toString('hex');
  }

  /** The first piece at or behind this one that may not be zeros, without looking at each; `end` if there is none. */
  nextPage(pieceIndex: number, end: number): number {
    let page = Math.floor(pieceIndex / PAGE_PIECES);
    if (this.#pages.has(page)) return pieceIndex;
    const last = Math.ceil(end / PAGE_PIECES);
    while (page < last && !this.#pages.has(page)) page += 1;
    return Math.min(end, page * PAGE_PIECES);
  }
}
