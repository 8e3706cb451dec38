import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BackupJob,
  type BackupSummary,
  type Damage,
  type Manifest,
  openRepository,
  type Repository,
  type RequestedLevel,
  runBackup,
  runVerify,
} from '../backup/index.js';
import { sharedWorkers } from '../backup/workers/worker-pool.js';
import type { Hypervisor } from '../hypervisor/index.js';

/** A repository in a folder of its own, removed with it. */
export class RepositoryFixture implements AsyncDisposable {
  readonly folder: string;
  readonly repository: Repository;
  /** Workers start once for all runs of a test. */
  readonly #workers = sharedWorkers.lease();

  private constructor(folder: string, repository: Repository) {
    this.folder = folder;
    this.repository = repository;
  }

  static async create(parent: string = tmpdir()): Promise<RepositoryFixture> {
    const folder = await mkdtemp(join(parent, 'vbackup-test-'));
    return new RepositoryFixture(folder, await openRepository(join(folder, 'repository'), { create: true }));
  }

  /** Backs up the only guest of a fake. */
  backUp(
    hypervisor: Hypervisor,
    level: RequestedLevel = 'auto',
    more: Partial<BackupJob> = {},
  ): Promise<BackupSummary> {
    return runBackup({
      hypervisor,
      hypervisorName: 'fake',
      repository: this.repository,
      selector: 'fake',
      level,
      ...more,
    });
  }

  /** A whole disk of a backup. */
  async imageOf(manifest: Manifest, disk = 'xvda'): Promise<Buffer> {
    await using image = await this.repository.openImage(manifest, disk);
    const bytes = Buffer.alloc(image.size);
    await image.read(0, bytes);
    return bytes;
  }

  /** Everything that a verification of the whole repository finds. */
  async damage(): Promise<readonly Damage[]> {
    const { checked, damage } = await runVerify({ repository: this.repository });
    return [...damage, ...checked.flatMap((one) => one.damage)];
  }

  /** Every file, relative to the repository, in order. */
  async files(): Promise<readonly string[]> {
    const { location } = this.repository;
    const entries = await readdir(location, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => !entry.isDirectory());
    return files.map((entry) => join(entry.parentPath, entry.name).slice(location.length + 1)).toSorted();
  }

  /** Every folder as well. */
  async everything(): Promise<readonly string[]> {
    return (await readdir(this.repository.location, { recursive: true })).toSorted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#workers[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}
