import { VBackupError } from '../errors/index.js';
import { withAbortCode } from '../errors/with-abort-code.js';
import { writeDifferences } from './in-place/write-differences.js';
import type { InPlaceJob, InPlaceSummary } from './jobs.js';
import { diskOf, labelOf } from './restored-disk.js';
import { sharedWorkers } from './workers/worker-pool.js';

/**
 * Sets a disk back to one backup where it lies: it is compared with the backup as it is read, and only what differs is written.
 * Of the backup only that is read; a disk that does not differ costs the reading of it, and of no backup. Ended in the
 * middle, the disk is partly restored, which is told as a warning; the same restore, run again, goes on from there.
 * @throws VBackupError what `runRestore` throws
 */
export function runRestoreInPlace(job: InPlaceJob): Promise<InPlaceSummary> {
  return withAbortCode(job.signal, () => restore(job));
}

async function restore(job: InPlaceJob): Promise<InPlaceSummary> {
  const started = performance.now();
  const { repository, manifest, device, label, signal, onEvent } = job;
  await using _workers = sharedWorkers.lease();
  const disk = diskOf(job);
  await using image = await repository.openImage(manifest, job.disk, { signal });
  const { size } = image;
  const guest = manifest.guest.name;
  if (device.size < size) {
    throw new VBackupError('VB_TARGET_SIZE', `${label} has ${device.size} bytes, ${labelOf(guest, disk)} has ${size}`);
  }
  onEvent?.({ type: 'start', work: 'restore', id: manifest.id, guest });
  onEvent?.({ type: 'disk-start', disk: disk.name, size, level: disk.level, planned: size });
  let written = 0;
  try {
    const onProgress = (done: number): void => onEvent?.({ type: 'progress', disk: disk.name, done, planned: size });
    const onWrite = (length: number): void => void (written += length);
    await writeDifferences({ image, device, onProgress, onWrite, signal });
    await device.finish({ signal });
  } catch (error) {
    const message = `${label} is restored in part, and otherwise as it was: restore it again before it is used`;
    if (written > 0) onEvent?.({ type: 'warning', code: 'VB_TARGET_MIXED', message, disk: disk.name });
    throw error;
  }
  const elapsedMs = performance.now() - started;
  onEvent?.({ type: 'disk-done', disk: disk.name, read: size, data: written, stored: written, elapsedMs });
  return { disk: disk.name, size, written, elapsedMs };
}
