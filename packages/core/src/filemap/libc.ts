import type { Extent } from '../extent/index.js';
import type { FALLOCATE_MODES } from './linux-words.js';

/** An open file: a `FileHandle` is one. It must stay open until the call is done. */
export interface Descriptor {
  readonly fd: number;
}

export type FallocateMode = keyof typeof FALLOCATE_MODES;

export interface CopyFileRange {
  readonly source: Descriptor;
  readonly sourceOffset: number;
  readonly target: Descriptor;
  readonly targetOffset: number;
  readonly length: number;
}

/**
 * The calls of Linux that Node lacks. What returns a value at once takes microseconds; what returns a promise may wait
 * for the disk and runs in a thread, a bounded number at a time.
 * Every call throws SystemCallError with the errno's name, and VBackupError VB_INVALID_ARGUMENT for an offset or length
 * that is no safe integer.
 */
export interface Libc {
  /**
   * The offset of the first data at or behind `offset`; null where there is none (ENXIO). Moves the descriptor's file
   * offset: use a descriptor of your own. EINVAL where the file system cannot tell.
   */
  seekData(file: Descriptor, offset: number): number | null;
  /** The offset of the first hole at or behind `offset`, the end of file at the latest; null behind it. See `seekData`. */
  seekHole(file: Descriptor, offset: number): number | null;
  /** FIGETBSZ: the block of the file system, in bytes. */
  blockSize(file: Descriptor): number;
  /** BLKGETSIZE64: the length of a block device, in bytes. */
  deviceSize(file: Descriptor): number;
  /** BLKSSZGET: the logical sector of a block device, in bytes. */
  sectorSize(file: Descriptor): number;
  /** FS_IOC_FIEMAP on a struct fiemap with room for its extents; with FIEMAP_FLAG_SYNC it may wait for writeback. */
  fiemap(file: Descriptor, request: Buffer): Promise<void>;
  /** FICLONE: makes the whole of `target` a reflink of `source`. */
  clone(files: { readonly source: Descriptor; readonly target: Descriptor }): Promise<void>;
  fallocate(file: Descriptor, mode: FallocateMode, range: Extent): Promise<void>;
  /** Copies at most 1 GiB at a time; returns the bytes copied, 0 at the end of the source. */
  copyFileRange(request: CopyFileRange): Promise<number>;
  /** BLKZEROOUT: whole sectors of a block device read as zeros from now on. */
  zeroDevice(file: Descriptor, range: Extent): Promise<void>;
  /** BLKDISCARD: the device may forget whole sectors; what they read as is up to the device. */
  discardDevice(file: Descriptor, range: Extent): Promise<void>;
  /**
   * F_OFD_GETLK: the kind of lock that another open file description, or a process, holds somewhere in `range`; null
   * where a lock for writing would be granted. Nothing is locked by asking.
   */
  lockHeld(file: Descriptor, range: Extent): 'read' | 'write' | null;
  /**
   * F_OFD_SETLK: takes `range` for writing until the file is closed. Only those who ask as well are kept out.
   * @returns false where another open file description, or a process, has a lock there
   */
  tryLock(file: Descriptor, range: Extent): boolean;
}
