import type { FilemapOptions, MapMethod } from './filemap.js';

/**
 * Whether the target shares the source's blocks (FICLONE: xfs, btrfs, …). `auto` tries it where the whole of a file is
 * copied to a file that is new or emptied, and copies where the file system cannot; `always` is an error there.
 */
export type ReflinkMode = 'auto' | 'always' | 'never';

/**
 * What becomes of the target where the source has holes or zeros. `punch`: nothing is allocated there; `zero`: blocks are
 * allocated and read as zeros; `write`: zeros are written; `leave`: nothing is done, so that old data of an existing
 * target stays there: only for a target that is known to read as zero. Where the system cannot do the first two, zeros
 * are written: the target reads the same in any case but the last.
 */
export type HoleMode = 'punch' | 'zero' | 'write' | 'leave';

/**
 * What becomes of a file that exists. `refuse`: VB_TARGET_EXISTS. `replace`: it stays as it is until the copy is complete,
 * and is then replaced in one step. `truncate`: written in place; what lies before `seek` stays, what lies behind the copy
 * is cut off. `overwrite`: written in place; what lies before and behind the copy stays.
 * A block device is always written in place, and its length never changes.
 */
export type ExistingMode = 'refuse' | 'replace' | 'truncate' | 'overwrite';

/** Offsets and lengths are bytes, of any alignment; `method` and `onWarning` are of the source's file map. */
export interface SparseCopyJob extends Pick<FilemapOptions, 'method' | 'onWarning' | 'signal'> {
  /** A regular file or a block device. */
  readonly source: string;
  /** A regular file, a block device, or a name that does not exist in a folder that does. */
  readonly target: string;
  /** Where the copy begins in the source. Default 0. */
  readonly skip?: number | undefined;
  /** Where the copy begins in the target; a new file has a hole before it. Default 0. */
  readonly seek?: number | undefined;
  /** How much is copied; default: all from `skip` to the end of the source. */
  readonly length?: number | undefined;
  /** Default `auto`. */
  readonly reflink?: ReflinkMode | undefined;
  /** Default `punch`. */
  readonly holes?: HoleMode | undefined;
  /** Default `refuse`. */
  readonly existing?: ExistingMode | undefined;
  /**
   * Whether blocks of zeros that the source stores become holes too (see `holes`): in a file whose unwritten parts read as
   * zero every block of the file system, elsewhere runs of 64 KiB. Default true; a reflink shares them as they are.
   */
  readonly detectZeroes?: boolean | undefined;
  /** Whether the bytes, and the name of a new file, are durable when the copy is done. Default true. */
  readonly fsync?: boolean | undefined;
  /**
   * Whether both sides are read and compared before a new file gets its name: all of the copied range, whatever the file
   * map said of it; with `holes: 'leave'` only the source's data. What the kernel still has in memory is not read from the
   * disk again. Default false.
   */
  readonly verify?: boolean | undefined;
  /** Called after every piece of at most 128 KiB of data (16 MiB where the kernel copies), or one hole. */
  readonly onProgress?: ((progress: SparseCopyProgress) => void) | undefined;
}

export interface SparseCopyProgress {
  readonly phase: 'copy' | 'verify';
  /** Bytes of the copied range that are done in this phase, holes included … */
  readonly done: number;
  /** … and all that there are. */
  readonly length: number;
}

export interface SparseCopySummary {
  /** `reflink`: the blocks are shared, nothing was copied. */
  readonly method: 'reflink' | 'copy';
  /** How the source's holes were found. */
  readonly mapMethod: MapMethod;
  /** Length of the copied range; the sum of the next two. */
  readonly length: number;
  /** Bytes that were written, or are shared, as data. */
  readonly data: number;
  /** Bytes that read as zero: holes of the source, and zeros that were found in its data. */
  readonly zeros: number;
  readonly elapsedMs: number;
}
