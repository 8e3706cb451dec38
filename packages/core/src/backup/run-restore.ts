import { VBackupError } from '../errors/index.js';
import { withAbortCode } from '../errors/with-abort-code.js';
import type { Extent } from '../extent/index.js';
import { writeImage } from './copy/write-image.js';
import type { ImageReader } from './image.js';
import type { RestoreJob, RestoreSummary } from './jobs.js';
import { diskOf, labelOf } from './restored-disk.js';
import { sharedWorkers } from './workers/worker-pool.js';

/**
 * Writes one disk of one backup to a target. The chain's links are checked before the target is opened, and every frame's
 * digest when it is read; a target is finished only if all of it is right.
 * @throws VBackupError VB_BACKUP_NOT_FOUND, VB_CHAIN_BROKEN, VB_FILE_MISSING, VB_FRAME_DIGEST, …
 */
export function runRestore(job: RestoreJob): Promise<RestoreSummary> {
  return withAbortCode(job.signal, () => restore(job));
}

async function restore(job: RestoreJob): Promise<RestoreSummary> {
  const started = performance.now();
  const { repository, manifest, signal, onEvent } = job;
  await using _first = sharedWorkers.lease({ work: 0 });
  const disk = diskOf(job);
  await using image = await repository.openImage(manifest, job.disk, { signal });
  const data = dataExtents(image);
  const planned = data.reduce((sum, { length }) => sum + length, 0);
  await using _workers = sharedWorkers.lease({ work: planned });
  const guest = manifest.guest.name;
  onEvent?.({ type: 'start', work: 'restore', id: manifest.id, guest });
  onEvent?.({ type: 'disk-start', disk: disk.name, size: image.size, level: disk.level, planned });
  const specification = { size: image.size, data, label: labelOf(guest, disk) };
  await using target = await job.openTarget(specification, { signal });
  if (target.size < image.size) {
    const message = `the target has ${target.size} bytes, the disk ${image.size}`;
    throw new VBackupError('VB_TARGET_TOO_SMALL', message);
  }
  const onProgress = (done: number): void => onEvent?.({ type: 'progress', disk: disk.name, done, planned });
  await writeImage({ image, target, data, disksAtOnce: job.disksAtOnce, onProgress, signal });
  await target.finish({ signal });
  const elapsedMs = performance.now() - started;
  onEvent?.({ type: 'disk-done', disk: disk.name, read: planned, data: planned, stored: planned, elapsedMs });
  return { disk: disk.name, size: image.size, written: planned, elapsedMs };
}

function dataExtents(image: ImageReader): readonly Extent[] {
  const data: Extent[] = [];
  for (const { kind, offset, length } of image.extents()) if (kind === 'data') data.push({ offset, length });
  return data;
}
