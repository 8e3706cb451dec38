import type {
  BackupJob,
  BackupSummary,
  Catalogue,
  Manifest,
  OpenTarget,
  Repository,
  RestoreJob,
  RestoreSummary,
  VerifyJob,
  VerifySummary,
  WithSignal,
} from '@vbackup/core';
import { UnsupportedError } from '@vbackup/core/errors';

/** What a reference names: a backup, and one of its disks if the reference named that. */
export interface FoundBackup {
  readonly manifest: Manifest;
  readonly disk?: string | undefined;
}

/** What the commands ask of the core; tests bring their own. */
export interface Work {
  /** @throws VBackupError VB_REPOSITORY_NOT_FOUND without `create` */
  readonly openRepository: (
    location: string,
    options: WithSignal & { readonly create: boolean },
  ) => Promise<Repository>;
  readonly runBackup: (job: BackupJob) => Promise<BackupSummary>;
  readonly runRestore: (job: RestoreJob) => Promise<RestoreSummary>;
  readonly runVerify: (job: VerifyJob) => Promise<VerifySummary>;
  /** @throws VBackupError VB_BACKUP_NOT_FOUND, VB_INVALID_ARGUMENT where a prefix fits several */
  readonly findBackup: (catalogue: Catalogue, reference: string) => FoundBackup;
  readonly openFileTarget: (path: string, options: { readonly force: boolean }) => OpenTarget;
  readonly openNbdTarget: (uri: string) => OpenTarget;
}

/** The work as the core does it. */
export async function coreWork(): Promise<Work> {
  throw new UnsupportedError('VB_UNSUPPORTED', 'this build has no engine');
}
