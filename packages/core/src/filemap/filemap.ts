import type { AllocationExtent, Extent } from '../extent/index.js';
import type { Warning, WithSignal } from '../hypervisor/index.js';
import type { Libc } from './libc.js';

/** How the extents are found out. `qemu-img`, `scan` and `none` (all is data) stand in where the kernel does not answer. */
export type MapMethod = 'seek' | 'fiemap' | 'qemu-img' | 'scan' | 'none';

/** What the file system says of an extent beside its kind (linux/fiemap.h); only the method `fiemap` knows. */
export interface ExtentFlags {
  readonly unwritten?: true;
  readonly shared?: true;
  readonly encoded?: true;
  readonly inline?: true;
  readonly delalloc?: true;
}

export interface MapExtent extends AllocationExtent {
  readonly flags?: ExtentFlags | undefined;
  /** Where the extent lies on the file system's device, in bytes; only where the method knows it. */
  readonly physical?: number | undefined;
}

export interface FilemapOptions extends WithSignal {
  /**
   * Default `auto`: `none` for a block device; for a file `seek`, then `fiemap`, `qemu-img`, `scan`, `none`. What is named
   * here is done, or refused: nothing else stands in for it.
   */
  readonly method?: MapMethod | 'auto' | undefined;
  /** Which method `auto` could not use and why, and what file systems get wrong; each is said once, while opening. */
  readonly onWarning?: ((warning: Warning) => void) | undefined;
  /** The system calls; default {@link loadLibc}, null for a machine without. */
  readonly libc?: Libc | null | undefined;
}

/** Blocks that hold data, counted from the beginning of the file. */
export interface BlockRange {
  readonly first: number;
  readonly count: number;
}

export interface FilemapStatistics {
  readonly size: number;
  /** Bytes of each kind; their sum is `size`. */
  readonly data: number;
  readonly zero: number;
  readonly hole: number;
  readonly extents: number;
}

/** Which parts of a file or block device hold data. Everything is bytes. */
export interface Filemap extends AsyncDisposable {
  readonly path: string;
  readonly size: number;
  /** Of the file system (FIGETBSZ), or the device's sector. */
  readonly blockSize: number;
  readonly method: MapMethod;
  /** `ext4`, `xfs`, …, or the number of statfs(2) in hexadecimal. */
  readonly fileSystem: string;
  readonly isBlockDevice: boolean;

  /**
   * Complete cover of `range` (default: the whole), ascending, without gaps, clipped at the end of file. Neighbours differ
   * in kind, in flags, or lie apart on the device. What the method cannot tell is data.
   * @throws VBackupError VB_INVALID_ARGUMENT for a range of no safe integers; VB_FILE_CHANGED if the file got longer or
   * shorter; VB_FILE_MAP, VB_QEMU_FAILED, VB_IO
   */
  extents(range?: Extent, options?: WithSignal): AsyncIterable<MapExtent>;
  /** The extents of kind `data`, joined. */
  dataRanges(range?: Extent, options?: WithSignal): AsyncIterable<Extent>;
  /** What reads as zero: `zero` and `hole`, joined. */
  holeRanges(range?: Extent, options?: WithSignal): AsyncIterable<Extent>;
  /** Data in whole blocks of `blockLength` bytes, rounded outward and joined: offset and length are counted in blocks. */
  blockRanges(blockLength: number, options?: WithSignal): AsyncIterable<BlockRange>;
  /** Whether the byte at `offset` is data. The map is read once and kept. @throws VBackupError VB_INVALID_ARGUMENT */
  isMapped(offset: number, options?: WithSignal): Promise<boolean>;
  statistics(options?: WithSignal): Promise<FilemapStatistics>;
}
