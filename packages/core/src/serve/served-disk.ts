import type { AllocationExtent, Extent } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { Loan } from '../memory/loan.js';

/**
 * A disk as it is shown to clients: opened once, shared by all of their connections. Calls may overlap in time, and come
 * in any order; ranges lie within the disk.
 */
export interface ServedDisk extends AsyncDisposable {
  /** The name of its export. */
  readonly name: string;
  /** One line for people: which guest, which backup, of when. */
  readonly description: string;
  /** Bytes. */
  readonly size: number;
  /** One client who goes through it in order is served best: several connections would be in each other's way. */
  readonly sequential?: boolean | undefined;
  /** Fills the whole of `target`, which belongs to the disk until the promise settles. Never wrong bytes. */
  read(offset: number, target: Buffer, options?: WithSignal): Promise<void>;
  /** The bytes of a range where they lie. Undefined: they must be read. Missing: so must all. */
  lend?(range: Extent, options?: WithSignal): Promise<Loan | undefined>;
  /**
   * Complete cover of `range`, ascending, found as it is asked for: who needs few extents stops early. Neighbours may be
   * of one kind.
   */
  extents(range: Extent, options?: WithSignal): AsyncIterable<AllocationExtent>;
  /** The points in time that can be compared with, the newest first. */
  readonly changedSince: readonly ChangedSince[];
  /** Missing: the disk cannot be written. */
  readonly writes?: DiskWrites | undefined;
}

/** What changed between another point in time of a disk and what is served. */
export interface ChangedSince {
  /** The id of that backup; `vbackup:changed-since-<id>` is the name of the context. */
  readonly id: string;
  /** Complete cover of `range`, ascending. Unknown is dirty. */
  extents(range: Extent, options?: WithSignal): AsyncIterable<DirtyExtent>;
}

/** A range, and whether it may differ from what was there at the other point in time. */
export interface DirtyExtent extends Extent {
  readonly dirty: boolean;
}

export interface DiskWriteOptions extends WithSignal {
  /** Durable when the call returns. */
  readonly fua?: boolean | undefined;
}

/** The side of a disk that takes changes. What a call that has returned wrote is what every later read sees. */
export interface DiskWrites {
  /** `bytes` belongs to the disk until the promise settles. @throws VBackupError VB_NO_SPACE */
  write(offset: number, bytes: Buffer, options?: DiskWriteOptions): Promise<void>;
  /** The range reads as zero. `hole`: it need not be allocated either. */
  zero(range: Extent, options?: DiskWriteOptions & { readonly hole?: boolean | undefined }): Promise<void>;
  /** The range is not needed any more, and may read as zero. */
  trim(range: Extent, options?: DiskWriteOptions): Promise<void>;
  /** Whatever was written by calls that have returned is durable when this returns. */
  flush(options?: WithSignal): Promise<void>;
}
