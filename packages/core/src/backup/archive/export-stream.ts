import { mkdtemp, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import { ignoringMissing, PARTIAL_SUFFIX, syncDirectory } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import type { BackupJob } from '../jobs.js';
import { SIDE_FOLDER } from '../repository/names.js';
import { openRepository } from '../repository/open-repository.js';
import { runBackup } from '../run-backup.js';

export interface ExportStreamJob
  extends Pick<
    BackupJob,
    'hypervisor' | 'hypervisorName' | 'selector' | 'compression' | 'connections' | 'onEvent' | 'signal'
  > {
  /** Absolute; it must not exist, or be empty. */
  readonly folder: string;
}

export interface ExportStreamSummary {
  /** Names of the disks. */
  readonly disks: readonly string[];
  readonly elapsedMs: number;
}

/**
 * Writes all disks of a guest as one full backup in a folder that virtnbdrestore reads, and nothing of ours beside it. The
 * folder has its name when it is complete.
 * @throws VBackupError VB_TARGET_EXISTS, VB_TARGET_INVALID, VB_IO, and what `runBackup` throws
 */
export async function exportStream({ folder, ...source }: ExportStreamJob): Promise<ExportStreamSummary> {
  await requireNew(folder);
  const parent = dirname(folder);
  const temporary = await withIo(`cannot make a folder in ${parent}`, () =>
    mkdtemp(join(parent, `.${basename(folder)}${PARTIAL_SUFFIX}-`)),
  );
  try {
    const repository = await openRepository(temporary, { create: true });
    const { manifest, elapsedMs } = await runBackup({ ...source, repository, level: 'full' });
    const chain = join(temporary, manifest.chain);
    await rm(join(chain, SIDE_FOLDER), { recursive: true });
    await requireNew(folder);
    await withIo(`cannot rename ${chain}`, async () => {
      await ignoringMissing(() => rmdir(folder));
      await rename(chain, folder);
    });
    await syncDirectory(parent);
    return { disks: manifest.disks.map(({ name }) => name), elapsedMs };
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function requireNew(folder: string): Promise<void> {
  const names = await withIo(`cannot read the folder ${folder}`, async () => {
    try {
      return await ignoringMissing(() => readdir(folder));
    } catch (error) {
      if (!(error instanceof Error) || !('code' in error) || error.code !== 'ENOTDIR') throw error;
      throw new VBackupError('VB_TARGET_INVALID', `${folder} is no folder`, { cause: error, cure: 'name a new one' });
    }
  });
  if (names === null || names.length === 0) return;
  throw new VBackupError('VB_TARGET_EXISTS', `${folder} is not empty`, { cure: 'name a new folder' });
}
