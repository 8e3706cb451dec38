import { VBackupError } from '../errors/index.js';
import { withAbortCode } from '../errors/with-abort-code.js';
import { type Extent, splitAt } from '../extent/index.js';
import type { BlockWriter, WithSignal } from '../hypervisor/index.js';
import { type Slot, SlotPool } from '../memory/slot-pool.js';
import { frameLengthOf, slotCountOf } from './copy/geometry.js';
import type { ImageReader } from './image.js';
import type { RestoreJob, RestoreSummary } from './jobs.js';
import type { ManifestDisk } from './manifest.js';
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
  await using _workers = sharedWorkers.lease();
  const disk = diskOf(job);
  await using image = await repository.openImage(manifest, job.disk, { signal });
  const data = dataExtents(image);
  const planned = data.reduce((sum, { length }) => sum + length, 0);
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
  await writeImage({ image, target, data, onProgress, signal });
  await target.finish({ signal });
  const elapsedMs = performance.now() - started;
  onEvent?.({ type: 'disk-done', disk: disk.name, read: planned, data: planned, stored: planned, elapsedMs });
  return { disk: disk.name, size: image.size, written: planned, elapsedMs };
}

interface WriteImage extends WithSignal {
  readonly image: ImageReader;
  readonly target: BlockWriter;
  readonly data: readonly Extent[];
  readonly onProgress: (done: number) => void;
}

type Piece = { readonly extent: Extent; readonly slot: Slot; readonly bytes: Buffer; readonly read: Promise<void> };

/** Several frames are read and decoded at once; what is written is written in order. */
async function writeImage(options: WriteImage): Promise<void> {
  const { image, signal } = options;
  const frameLength = frameLengthOf(image.size);
  const length = Math.min(frameLength, options.target.limits.maximumRequest);
  const count = slotCountOf(frameLength);
  const slots = new SlotPool({ count, length });
  const reading: Piece[] = [];
  const writer = new OrderedTarget(options);
  try {
    for (const extent of splitAt(options.data, length)) {
      if (reading.length === count) await writer.write(reading.shift());
      const slot = await slots.acquire({ signal });
      const bytes = slot.buffer.subarray(0, extent.length);
      const read = image.read(extent.offset, bytes, { signal });
      read.catch(() => undefined);
      reading.push({ extent, slot, bytes, read });
    }
    while (reading.length > 0) await writer.write(reading.shift());
    await writer.zerosUntil(image.size);
    slots[Symbol.dispose]();
  } finally {
    await Promise.allSettled(reading.map(({ read }) => read));
  }
}

/** Hands pieces to the target, and the zeros between them if it does not read as zero by itself. */
class OrderedTarget {
  readonly #options: WriteImage;
  #end = 0;
  #done = 0;

  constructor(options: WriteImage) {
    this.#options = options;
  }

  async write(piece: Piece | undefined): Promise<void> {
    if (piece === undefined) return;
    const { target, signal, onProgress } = this.#options;
    const { offset, length } = piece.extent;
    try {
      await piece.read;
      await this.zerosUntil(offset);
      await target.write(offset, piece.bytes, { signal });
    } finally {
      piece.slot.release();
    }
    this.#end = offset + length;
    this.#done += length;
    onProgress(this.#done);
  }

  async zerosUntil(offset: number): Promise<void> {
    const { target, signal } = this.#options;
    if (!target.zeroed && offset > this.#end) await target.zero(this.#end, offset - this.#end, { signal });
    this.#end = offset;
  }
}

function dataExtents(image: ImageReader): readonly Extent[] {
  const data: Extent[] = [];
  for (const { kind, offset, length } of image.extents()) if (kind === 'data') data.push({ offset, length });
  return data;
}

function diskOf(job: RestoreJob): ManifestDisk {
  const disk = job.manifest.disks.find(({ name }) => name === job.disk);
  if (disk !== undefined) return disk;
  throw new VBackupError('VB_BACKUP_NOT_FOUND', `backup ${job.manifest.id} has no disk ${job.disk}`, {
    cure: `it has ${job.manifest.disks.map(({ name }) => name).join(', ')}`,
  });
}

const labelOf = (guest: string, disk: ManifestDisk): string =>
  disk.label === '' || disk.label === guest ? `${guest} ${disk.name}` : `${guest} ${disk.label}`;
