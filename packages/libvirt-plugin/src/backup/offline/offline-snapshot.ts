import type { Checkpoint, ConfigurationFile, Snapshot, SnapshotDisk, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { LibvirtContext } from '../context.js';
import type { OfflineEntry } from '../journal.js';
import type { ImageExport } from './image-export.js';
import { finishOffline, undoOffline } from './release-offline.js';
import type { StartGuard } from './start-guard.js';

/** Cleaning up has a time of its own, for the user's signal may have been raised; what is left waits for `recover`. */
const CLEANUP_TIMEOUT_MS = 30_000;

export interface OfflineParts {
  readonly entry: OfflineEntry;
  readonly guard: StartGuard;
  readonly exports: readonly ImageExport[];
  readonly time: Date;
  readonly disks: readonly SnapshotDisk[];
  readonly checkpoint: Checkpoint | null;
  readonly configuration: readonly ConfigurationFile[];
}

/** The images of a domain that is off, held until the backup is made. */
export class OfflineSnapshot implements Snapshot {
  readonly time: Date;
  readonly checkpoint: Checkpoint | null;
  readonly disks: readonly SnapshotDisk[];
  readonly configuration: readonly ConfigurationFile[];
  readonly #context: LibvirtContext;
  readonly #entry: OfflineEntry;
  readonly #guard: StartGuard;
  readonly #exports: readonly ImageExport[];
  #open = true;

  constructor(context: LibvirtContext, { entry, guard, exports, time, ...more }: OfflineParts) {
    this.#context = context;
    this.#entry = entry;
    this.#guard = guard;
    this.#exports = exports;
    this.time = time;
    this.disks = more.disks;
    this.checkpoint = more.checkpoint;
    this.configuration = more.configuration;
  }

  /** @throws VBackupError VB_LIBVIRT_STARTED */
  async confirm(options: WithSignal = {}): Promise<void> {
    await this.#guard.confirm(options);
  }

  async commit(options: WithSignal = {}): Promise<void> {
    // From here on the checkpoint must not be deleted: the backup stands on it.
    this.#open = false;
    await this.#release();
    await finishOffline(this.#context, this.#entry, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    try {
      await this.#release();
      await undoOffline(this.#context, this.#entry, { signal: AbortSignal.timeout(CLEANUP_TIMEOUT_MS) });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new VBackupError('VB_LIBVIRT_CLEANUP', `the checkpoint is still there, or a server of its images: ${why}`, {
        cause,
        cure: 'vbackup removes it in its next run of this domain',
      });
    }
  }

  /** The images can be opened by others when this returns. */
  async #release(): Promise<void> {
    this.#guard[Symbol.dispose]();
    for (const each of this.#exports) await each[Symbol.asyncDispose]();
  }
}
