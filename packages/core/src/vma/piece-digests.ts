import { createHash } from 'node:crypto';

/** A device is hashed in pieces of this length; the last may be shorter. */
export const PIECE_LENGTH = 1024 * 1024;
export const SHA256_LENGTH = 32;

/** Pieces whose digests lie together in memory. */
const PAGE_PIECES = 16;
const PAGE_LENGTH = PAGE_PIECES * SHA256_LENGTH;
/** Pieces that are passed over in one step where there are no digests. */
const CHAPTER_PIECES = 1024;
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

export const isZero = (bytes: Buffer): boolean => ZERO_PIECE.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;

/**
 * The digests of a device's pieces; one that has none is zeros. 32 bytes for each piece of data where many lie together, at
 * most 800 for one that is far from all others.
 */
export class PieceDigests {
  /** Of pieces in a row, which of the pool's pages has the digests: its number plus one, 0 for none. */
  readonly #chapters = new Map<number, Uint32Array>();
  #pool = Buffer.alloc(PAGE_LENGTH);
  #pages = 0;
  #count = 0;

  /** Pieces that are not zeros. */
  get count(): number {
    return this.#count;
  }

  set(pieceIndex: number, digest: Buffer): void {
    const chapter = Math.floor(pieceIndex / CHAPTER_PIECES);
    let pages = this.#chapters.get(chapter);
    if (pages === undefined) {
      pages = new Uint32Array(CHAPTER_PIECES / PAGE_PIECES);
      this.#chapters.set(chapter, pages);
    }
    const inChapter = Math.floor((pieceIndex % CHAPTER_PIECES) / PAGE_PIECES);
    if (pages[inChapter] === 0) pages[inChapter] = this.#newPage();
    digest.copy(this.#pool, placeOf(pages[inChapter] ?? 0, pieceIndex));
    this.#count += 1;
  }

  /** Lower-case hex; undefined for a piece of zeros. No data that anyone knows has a SHA-256 of zeros. */
  get(pieceIndex: number): string | undefined {
    const pages = this.#chapters.get(Math.floor(pieceIndex / CHAPTER_PIECES));
    const page = pages?.[Math.floor((pieceIndex % CHAPTER_PIECES) / PAGE_PIECES)] ?? 0;
    if (page === 0) return undefined;
    const at = placeOf(page, pieceIndex);
    const digest = this.#pool.subarray(at, at + SHA256_LENGTH);
    return isZero(digest) ? undefined : digest.toString('hex');
  }

  /** The first piece at or behind this one that may not be zeros, without looking at each; `end` if there is none. */
  nextPage(pieceIndex: number, end: number): number {
    let chapter = Math.floor(pieceIndex / CHAPTER_PIECES);
    if (this.#chapters.has(chapter)) return pieceIndex;
    const last = Math.ceil(end / CHAPTER_PIECES);
    while (chapter < last && !this.#chapters.has(chapter)) chapter += 1;
    return Math.min(end, chapter * CHAPTER_PIECES);
  }

  #newPage(): number {
    if (this.#pages * PAGE_LENGTH === this.#pool.length) {
      const wider = Buffer.alloc(2 * this.#pool.length);
      this.#pool.copy(wider);
      this.#pool = wider;
    }
    this.#pages += 1;
    return this.#pages;
  }
}

/** Where a digest stands in the pool. */
const placeOf = (page: number, pieceIndex: number): number =>
  (page - 1) * PAGE_LENGTH + (pieceIndex % PAGE_PIECES) * SHA256_LENGTH;
