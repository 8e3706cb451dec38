import type { AllocationExtent, Extent } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { Loan } from '../memory/loan.js';
import type { FrameDigest } from './frame-digest/digest-algorithm.js';

/** A range of a disk and what it holds: bytes of its length, or zeros. */
export interface ImagePiece extends Extent {
  readonly bytes: Buffer | null;
}

/** Where one disk of one backup is written. Calls come in ascending order of offset, and never overlap. */
export interface ImageWriter {
  /** Several calls may be under way; `bytes` belongs to the writer until its promise settles. */
  data(offset: number, bytes: Buffer): Promise<void>;
  /** The range reads as zero (and differs from the parent, in an increment). */
  zero(offset: number, length: number): Promise<void>;
  /** As `data` and `zero` of each, in their order; missing where that saves nothing. */
  writeAll?(pieces: readonly ImagePiece[]): Promise<void>;
  /**
   * Zeros were found in what was planned as data: whoever counted on the plan hears of it before they are given.
   * @param length - of all zeros in a piece
   * @returns whether the piece had better come as data, with its zeros
   */
  keepsZeros?(length: number): boolean;
  /** What was planned as data is what the parent holds: whoever counted on the plan hears of it before what follows is given. */
  dataIsLess?(): void;
  /** Durable when it returns, but not yet part of any backup. */
  finish(options?: WithSignal): Promise<ImageSummary>;
  /** Removes what was written. */
  abort(): Promise<void>;
}

export interface ImageSummary {
  readonly dataLength: number;
  readonly storedLength: number;
}

/** What is known of a range of a disk without reading it. */
export interface Fingerprint extends Extent {
  readonly kind: 'data' | 'zero';
  /** Of exactly these bytes; null where only the bytes themselves tell. */
  readonly digest: FrameDigest | null;
  /**
   * The stored frame that these bytes are a part of, by the digest of all of it and its offset on the disk: where two
   * images name the same one, they hold the same bytes. Missing for zeros.
   */
  readonly frame?: { readonly digest: FrameDigest; readonly offset: number } | undefined;
}

/** One disk of one backup, its chain resolved. */
export interface ImageReader extends AsyncDisposable {
  readonly size: number;
  /** Complete cover of `range` (default: the disk), ascending: `data`, or `zero`. */
  extents(range?: Extent): Iterable<AllocationExtent>;
  /** Complete cover of `range`, ascending, clipped to the disk. @throws VBackupError VB_INDEX_DAMAGED */
  fingerprints(range: Extent, options?: WithSignal): AsyncIterable<Fingerprint>;
  /** Fills `target`; checks the digest of every frame that it touches. */
  read(offset: number, target: Buffer, options?: WithSignal): Promise<void>;
  /**
   * The bytes of a range where they lie, checked like those that are read; undefined where they must be copied: read them then.
   */
  lend?(range: Extent, options?: WithSignal): Promise<Loan | undefined>;
  /** Begins to load what will be asked for next, within its own bounds; missing where nothing is loaded before. */
  prefetch?(range: Extent): void;
}
