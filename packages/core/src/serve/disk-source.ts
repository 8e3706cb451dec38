import type { WithSignal } from '../hypervisor/index.js';
import type { DiskLabel } from './image-disk.js';
import type { ServedDisk } from './served-disk.js';

/** Something with disks that can be served: a backup, an archive, a folder of streams, an image. */
export interface DiskSource extends AsyncDisposable {
  /** What its disks go by beside those of other sources: the guest's name, or the file's. */
  readonly name: string;
  /** Tells it from another of the same name: the id of a backup; empty where there is none. */
  readonly id: string;
  /** What its bytes are, and stay: what is written over them belongs to no others. */
  readonly identity: string;
  readonly disks: readonly SourceDisk[];
}

/** One disk of a source, before it is opened. The source must stay open as long as the disk is. */
export interface SourceDisk extends DiskLabel {
  /** @param name - that its export has */
  open(name: string, options?: WithSignal): Promise<ServedDisk>;
}
