import type { Checkpoint, Snapshot, SnapshotDisk, WithSignal } from '@vbackup/core';

export interface DiskSnapshotParts {
  readonly disk: SnapshotDisk;
  readonly checkpoint: Checkpoint | null;
  /** Throws if the disk did not stay as it was. */
  readonly confirm: (options?: WithSignal) => Promise<void>;
  readonly dispose: () => Promise<void>;
}

/** A snapshot of one disk that nobody froze: it is watched instead. There is no base to move, so nothing to commit. */
export class DiskSnapshot implements Snapshot {
  readonly time = new Date();
  readonly checkpoint: Checkpoint | null;
  readonly disks: readonly SnapshotDisk[];
  readonly configuration = [];
  readonly #parts: DiskSnapshotParts;

  constructor(parts: DiskSnapshotParts) {
    this.#parts = parts;
    this.checkpoint = parts.checkpoint;
    this.disks = [parts.disk];
  }

  confirm(options?: WithSignal): Promise<void> {
    return this.#parts.confirm(options);
  }

  async commit(): Promise<void> {}

  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts.dispose();
  }
}
