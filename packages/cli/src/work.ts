import type {
  BackupJob,
  BackupSummary,
  Catalogue,
  ConfigurationFile,
  FoundBackup,
  InPlaceJob,
  InPlaceSummary,
  Manifest,
  OpenTarget,
  Qcow2TargetOptions,
  Repository,
  RestoreJob,
  RestoreSummary,
  SavedImage,
  VerifyJob,
  VerifySummary,
  WithSignal,
} from '@vbackup/core';
import { openFileTarget, openNbdTarget, openQcow2Target } from './targets.js';

/** What the commands ask of the core; tests bring their own. */
export interface Work {
  /** @throws VBackupError VB_REPOSITORY_NOT_FOUND without `create` */
  readonly openRepository: (
    location: string,
    options: WithSignal & { readonly create: boolean },
  ) => Promise<Repository>;
  readonly runBackup: (job: BackupJob) => Promise<BackupSummary>;
  readonly runRestore: (job: RestoreJob) => Promise<RestoreSummary>;
  readonly runRestoreInPlace: (job: InPlaceJob) => Promise<InPlaceSummary>;
  readonly runVerify: (job: VerifyJob) => Promise<VerifySummary>;
  /** @throws VBackupError VB_BACKUP_NOT_FOUND, VB_INVALID_ARGUMENT where a prefix fits several */
  readonly findBackup: (catalogue: Catalogue, reference: string) => FoundBackup;
  readonly openFileTarget: (path: string, options: { readonly force: boolean }) => OpenTarget;
  readonly openQcow2Target: (path: string, options: Pick<Qcow2TargetOptions, 'force' | 'like'>) => OpenTarget;
  /** How the images were made that the disks of a backup lay in, as far as that is known. */
  readonly savedImages: (repository: Repository, manifest: Manifest) => Promise<ReadonlyMap<string, SavedImage>>;
  /** The records of the machine. @throws VBackupError VB_FILE_DIGEST, VB_IO */
  readonly readConfiguration: (repository: Repository, manifest: Manifest) => Promise<readonly ConfigurationFile[]>;
  readonly openNbdTarget: (uri: string) => OpenTarget;
}

/** The work as the core does it. Each part is loaded on first use: `list` must not wait for what a backup needs. */
export async function coreWork(): Promise<Work> {
  const { findBackup, openRepository, readConfiguration } = await import('@vbackup/core/backup/repository');
  return {
    openRepository,
    runBackup: async (job) => (await import('@vbackup/core/backup/run-backup')).runBackup(job),
    runRestore: async (job) => (await import('@vbackup/core/backup/run-restore')).runRestore(job),
    runRestoreInPlace: async (job) =>
      (await import('@vbackup/core/backup/run-restore-in-place')).runRestoreInPlace(job),
    runVerify: async (job) => (await import('@vbackup/core/backup/run-verify')).runVerify(job),
    findBackup,
    openFileTarget,
    openQcow2Target,
    savedImages: async (repository, manifest) =>
      (await import('@vbackup/core/backup/saved-images')).savedImages(repository, manifest),
    readConfiguration,
    openNbdTarget,
  };
}
