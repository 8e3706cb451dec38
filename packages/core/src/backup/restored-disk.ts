import { VBackupError } from '../errors/index.js';
import type { RestoreJob } from './jobs.js';
import type { ManifestDisk } from './manifest.js';

/** @throws VBackupError VB_BACKUP_NOT_FOUND */
export function diskOf(job: Pick<RestoreJob, 'manifest' | 'disk'>): ManifestDisk {
  const disk = job.manifest.disks.find(({ name }) => name === job.disk);
  if (disk !== undefined) return disk;
  throw new VBackupError('VB_BACKUP_NOT_FOUND', `backup ${job.manifest.id} has no disk ${job.disk}`, {
    cure: `it has ${job.manifest.disks.map(({ name }) => name).join(', ')}`,
  });
}

/** Names a disk for people. */
export const labelOf = (guest: string, disk: ManifestDisk): string =>
  disk.label === '' || disk.label === guest ? `${guest} ${disk.name}` : `${guest} ${disk.label}`;
