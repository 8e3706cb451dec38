import type {
  Changes,
  Diagnosis,
  Guest,
  Hypervisor,
  NbdConnectOptions,
  Snapshot,
  SnapshotRequest,
  Warning,
  WithSignal,
} from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { loadNbdUri } from '@vbackup/core/nbd/device';
import { decideChanges } from '../decide-changes.js';
import { evidenceOf } from '../dirty-bitmap.js';
import { DiskSnapshot } from '../disk-snapshot.js';
import { type NbdCheckpoint, parseCheckpoint } from './checkpoint.js';
import { diagnoseExport } from './diagnose.js';
import { type ExportIdentity, identityOf } from './export-identity.js';
import { ExportSource } from './export-source.js';
import type { NbdOptions } from './options.js';

export interface NbdContext {
  readonly options: NbdOptions;
  readonly warn: (warning: Warning) => void;
}

interface FoundExport {
  readonly identity: ExportIdentity;
  readonly connect: NbdConnectOptions;
}

/** Exports of NBD servers, as if they were machines of one disk. */
export class NbdHypervisor implements Hypervisor {
  readonly #context: NbdContext;
  readonly #found = new Map<string, FoundExport>();

  constructor(context: NbdContext) {
    this.#context = context;
  }

  /**
   * Looks at the URI alone: a server may end after its first client.
   * @throws VBackupError VB_NBD_URI
   */
  async find(selector: string): Promise<Guest> {
    const connect = await loadNbdUri(selector);
    const identity = identityOf(connect);
    const { id, name, kind } = identity;
    this.#found.set(id, { identity, connect });
    return { id, name, kind };
  }

  /** @throws VBackupError VB_NBD_CONNECT, VB_NBD_EXPORT_NOT_FOUND, VB_NBD_CERTIFICATE, … */
  async snapshot(guest: Guest, request: SnapshotRequest, { signal }: WithSignal = {}): Promise<Snapshot> {
    const found = this.#found.get(guest.id);
    if (found === undefined) {
      throw new VBackupError('VB_INVALID_ARGUMENT', `the export ${guest.name} was not looked up before`);
    }
    const { warn, options } = this.#context;
    const { dirtyBitmap } = options;
    const source = await ExportSource.open({ connect: found.connect, dirtyBitmap, warn, signal });
    const bitmap = source.bitmap === null ? null : evidenceOf(source.bitmap);
    const checkpoint: NbdCheckpoint = { version: 1, kind: 'nbd', size: source.size, bitmap };
    return new DiskSnapshot({
      disk: {
        name: found.identity.diskName,
        id: guest.id,
        label: found.identity.label,
        size: source.size,
        changes: this.#changes(request, source),
        open: (openOptions) => source.open(openOptions),
      },
      checkpoint: request.keepCheckpoint ? checkpoint : null,
      confirm: (confirmOptions) => source.confirm(confirmOptions),
      dispose: () => source[Symbol.asyncDispose](),
    });
  }

  /** A run leaves nothing behind on a server: its connections end with it. */
  async recover(): Promise<void> {}

  diagnose(options: WithSignal = {}): AsyncIterable<Diagnosis> {
    return diagnoseExport(this.#context.options, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #changes({ since }: SnapshotRequest, source: ExportSource): Changes {
    const before = since === null ? null : parseCheckpoint(since);
    if (since !== null && before === null) return { kind: 'all', reason: 'base-foreign' };
    return decideChanges({ since: before, source, warn: this.#context.warn });
  }
}
