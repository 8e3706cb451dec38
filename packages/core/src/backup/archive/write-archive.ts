import { VBackupError } from '../../errors/index.js';
import type { Warning } from '../../hypervisor/index.js';
import type { BackupJob } from '../jobs.js';
import type { Manifest } from '../manifest.js';
import type { Repository } from '../repository.js';
import { runBackup } from '../run-backup.js';
import type { FinishedArchive, NewArchive } from './archive-draft.js';
import { ArchiveRepository } from './archive-repository.js';

export interface WriteArchiveJob
  extends Omit<NewArchive, 'warn' | 'signal'>,
    Pick<BackupJob, 'hypervisor' | 'hypervisorName' | 'selector' | 'connections' | 'limiter' | 'onEvent' | 'signal'> {
  /**
   * Where is noted what a run that dies leaves on the hypervisor: the next one that writes an archive of the same guest with
   * the same notes removes it. Null for sources that are left as they are.
   */
  readonly notes: Repository | null;
}

export interface WriteArchiveSummary extends FinishedArchive {
  /** What a repository would keep of this backup: it names the guest and the disks. */
  readonly manifest: Manifest;
  readonly elapsedMs: number;
  readonly warnings: readonly Warning[];
}

/**
 * Writes all disks of a guest into one archive, in order and in one pass: a copy, that no later backup stands on and that
 * leaves change tracking as it was. The archive has its name when everything was read, confirmed by the hypervisor, written
 * and decoded again; else nothing is left of it.
 * @throws VBackupError VB_VMA_LIMIT, VB_VMA_UNSAFE_NAME, VB_TARGET_EXISTS, and what `runBackup` throws
 */
export async function writeArchive(job: WriteArchiveJob): Promise<WriteArchiveSummary> {
  const { output, sidecarPath, uuid, ctime, shape, notes, onEvent, signal, ...source } = job;
  const own: Warning[] = [];
  const warn = (warning: Warning): void => {
    own.push(warning);
    onEvent?.({ type: 'warning', ...warning });
  };
  const archive = { output, sidecarPath, uuid, ctime, shape, warn, signal };
  const repository = new ArchiveRepository(archive, notes);
  const summary = await runBackup({ ...source, repository, level: 'copy', onEvent, signal });
  const { finished } = repository;
  if (finished === null) throw new VBackupError('VB_INTERNAL', 'the archive was not finished');
  return { ...finished, ...summary, warnings: [...own, ...summary.warnings] };
}
