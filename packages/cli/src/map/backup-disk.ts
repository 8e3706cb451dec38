import type { Catalogue, ImageReader, Manifest, Repository } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { CommandContext } from '../commands/command.js';
import { oneDisk } from '../commands/one-disk.js';

/** One disk of one backup. */
export interface BackupDisk {
  readonly repository: Repository;
  readonly manifest: Manifest;
  /** Its name in the backup. */
  readonly disk: string;
}

/** The repository is read once, however many backups are looked for. */
export class BackupDisks {
  readonly #context: CommandContext;
  #known: Promise<{ readonly repository: Repository; readonly catalogue: Catalogue }> | undefined;

  constructor(context: CommandContext) {
    this.#context = context;
  }

  /** The disk that a reference, or `--disk`, names. @throws VBackupError VB_BACKUP_NOT_FOUND, VB_CLI_USAGE, … */
  async find(reference: string): Promise<BackupDisk> {
    const { repository, catalogue } = await this.#catalogue();
    const { manifest, disk } = (await this.#context.work()).findBackup(catalogue, reference);
    return { repository, manifest, disk: oneDisk(manifest, this.#context.invocation.options.text('disk') ?? disk) };
  }

  /** The same disk in another backup. @throws VBackupError VB_BACKUP_NOT_FOUND */
  async findSame({ manifest: newer, disk }: BackupDisk, reference: string): Promise<BackupDisk> {
    const { repository, catalogue } = await this.#catalogue();
    const { manifest } = (await this.#context.work()).findBackup(catalogue, reference);
    const id = newer.disks.find(({ name }) => name === disk)?.id;
    const same = manifest.disks.find((each) => each.id === id);
    if (same !== undefined) return { repository, manifest, disk: same.name };
    throw new VBackupError('VB_BACKUP_NOT_FOUND', `backup ${manifest.id} does not hold the disk ${disk} (${id})`, {
      cure: `it has ${manifest.disks.map(({ name, id: own }) => `${name} (${own})`).join(', ')}`,
    });
  }

  open({ repository, manifest, disk }: BackupDisk): Promise<ImageReader> {
    return repository.openImage(manifest, disk, { signal: this.#context.signal });
  }

  async #catalogue(): Promise<{ readonly repository: Repository; readonly catalogue: Catalogue }> {
    const { signal } = this.#context;
    this.#known ??= this.#context
      .repository({ create: false })
      .then(async (repository) => ({ repository, catalogue: await repository.catalogue({ signal }) }));
    return this.#known;
  }
}
