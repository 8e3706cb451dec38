import { VBackupError } from '../../errors/index.js';
import type {
  ConfigurationFile,
  Guest,
  Hypervisor,
  Snapshot,
  SnapshotDisk,
  WithSignal,
} from '../../hypervisor/index.js';
import type { Manifest } from '../manifest.js';
import { readConfiguration } from '../repository/read-configuration.js';
import type { Repository } from '../repository.js';
import { ImageBlockReader } from './image-block-reader.js';

export interface StoredBackup {
  readonly repository: Repository;
  readonly manifest: Manifest;
  /** Only this disk of it; default: all of them. */
  readonly disk?: string | undefined;
}

/**
 * A backup as the guest that it is of, frozen as it was then: every disk with its chain resolved, its digests checked when it
 * is read. Whoever asks for any guest gets this one.
 */
export class BackupHypervisor implements Hypervisor {
  readonly #backup: StoredBackup;

  constructor(backup: StoredBackup) {
    this.#backup = backup;
  }

  find(): Promise<Guest> {
    return Promise.resolve(this.#backup.manifest.guest);
  }

  /** @throws VBackupError VB_BACKUP_NOT_FOUND, VB_FILE_MISSING, VB_FILE_DIGEST */
  async snapshot(): Promise<Snapshot> {
    const { repository, manifest, disk: named } = this.#backup;
    const chosen = manifest.disks.filter(({ name }) => named === undefined || name === named);
    if (chosen.length === 0) {
      throw new VBackupError('VB_BACKUP_NOT_FOUND', `backup ${manifest.id} has no disk ${named ?? 'at all'}`, {
        cure: `it has ${manifest.disks.map(({ name }) => name).join(', ')}`,
      });
    }
    const disks = chosen.map(
      ({ name, id, label, size }): SnapshotDisk => ({
        name,
        id,
        label,
        size,
        changes: { kind: 'all' },
        open: async ({ signal }) => new ImageBlockReader(await repository.openImage(manifest, name, { signal })),
      }),
    );
    return stillSnapshot({
      time: new Date(manifest.time),
      disks,
      configuration: await readConfiguration(repository, manifest),
    });
  }

  async recover(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}

export interface StillParts {
  readonly time: Date;
  readonly disks: readonly SnapshotDisk[];
  readonly configuration: readonly ConfigurationFile[];
  readonly checkpoint?: Snapshot['checkpoint'];
}

/** Disks that cannot move: nothing has to be frozen, moved or released. */
export const stillSnapshot = ({ checkpoint = null, ...parts }: StillParts): Snapshot => ({
  ...parts,
  checkpoint,
  commit: async (_options?: WithSignal) => {},
  [Symbol.asyncDispose]: async () => {},
});
