import type { FileHandle } from 'node:fs/promises';
import type { WithSignal } from '../../hypervisor/index.js';
import { SlotPool } from '../../memory/slot-pool.js';
import { encodeFrameHeader, FRAME_HEADER_LENGTH, TERMINATOR } from '../../sparse-stream/index.js';
import { readFully } from '../../storage/durable.js';
import { frameLengthOf } from '../copy/geometry.js';
import type { OnEvent } from '../events.js';
import type { FrameRecord } from '../frame-index/frame-record.js';
import { FrameIndexReader } from '../frame-index/index-reader.js';
import { sourceOf } from '../image/chain-image-reader.js';
import { DamagedFrameError } from '../image/damaged-frame.js';
import { checkZeroFrame, loadFrame, type StreamSource, storedSlotLength } from '../image/frame-loader.js';
import type { Manifest, ManifestDisk } from '../manifest.js';
import type { Damage } from '../repository.js';
import { sharedWorkers } from '../workers/worker-pool.js';

/** Frames that are checked at once. */
const CHECK_LIMIT = 2;
/** A file that is all wrong is not described frame by frame. */
const DAMAGE_LIMIT = 1000;

export interface VerifyDiskOptions extends WithSignal {
  readonly file: FileHandle;
  readonly path: string;
  readonly indexPath: string;
  readonly manifest: Manifest;
  readonly disk: ManifestDisk;
  readonly onEvent?: OnEvent | undefined;
}

/**
 * Checks the frames of one stream against its index: each header, each payload's digest, and that nothing lies between.
 * @throws ProtocolError VB_INDEX_DAMAGED: nothing can be said of the frames
 */
export async function verifyDisk(options: VerifyDiskOptions): Promise<readonly Damage[]> {
  const { disk, manifest, onEvent } = options;
  const started = Date.now();
  const planned = disk.storedLength;
  onEvent?.({ type: 'disk-start', disk: disk.name, size: disk.size, level: disk.level, planned });
  await using index = await FrameIndexReader.open(options.indexPath);
  const check = new DiskCheck(options, sourceOf(options.file, { path: options.path, manifest, disk, index }));
  const totals = await check.run(index);
  const { data } = totals;
  onEvent?.({
    type: 'disk-done',
    disk: disk.name,
    read: planned,
    data,
    stored: planned,
    elapsedMs: Date.now() - started,
  });
  return check.damage;
}

class DiskCheck {
  readonly damage: Damage[] = [];
  readonly #options: VerifyDiskOptions;
  readonly #source: StreamSource;
  readonly #stored: SlotPool;
  readonly #decoded: SlotPool;
  #done = 0;

  constructor(options: VerifyDiskOptions, source: StreamSource) {
    this.#options = options;
    this.#source = source;
    const frameLength = frameLengthOf(options.disk.size);
    this.#stored = new SlotPool({ count: CHECK_LIMIT, length: storedSlotLength(frameLength) });
    this.#decoded = new SlotPool({ count: CHECK_LIMIT, length: frameLength });
  }

  async run(index: FrameIndexReader): Promise<{ data: number }> {
    const { disk, signal } = this.#options;
    const checking = new Set<Promise<void>>();
    let expected: number | null = null;
    let data = 0;
    try {
      for await (const record of index.scan({ signal })) {
        const start = record.fileOffset - FRAME_HEADER_LENGTH;
        if (expected !== null && start !== expected) this.#report(this.#gap(record, start));
        expected = endInFile(record);
        if (record.kind === 'data') data += record.length;
        const stored = await this.#stored.acquire({ signal });
        const check = this.#check(record, stored.buffer).finally(() => {
          stored.release();
          checking.delete(check);
        });
        check.catch(() => undefined);
        checking.add(check);
      }
    } finally {
      await Promise.all(checking);
    }
    this.#stored[Symbol.dispose]();
    this.#decoded[Symbol.dispose]();
    if (index.size !== disk.size || data !== disk.dataLength)
      this.#report(this.#wholeDisk('the index is of another disk'));
    if (expected !== null) await this.#checkStop(expected);
    return { data };
  }

  async #check(record: FrameRecord, stored: Buffer): Promise<void> {
    const { signal, onEvent, disk } = this.#options;
    const slot = await this.#decoded.acquire({ signal });
    try {
      const target = slot.buffer.subarray(0, record.length);
      if (record.kind === 'zero') await checkZeroFrame(this.#source, record);
      else await loadFrame(this.#source, record, { workers: sharedWorkers, stored, target });
    } catch (error) {
      if (!(error instanceof DamagedFrameError)) throw error;
      this.#report(damageOf(error, disk.name));
    } finally {
      slot.release();
    }
    this.#done += endInFile(record) - record.fileOffset + FRAME_HEADER_LENGTH;
    onEvent?.({ type: 'progress', disk: disk.name, done: this.#done, planned: disk.storedLength });
  }

  async #checkStop(offset: number): Promise<void> {
    const bytes = Buffer.alloc(FRAME_HEADER_LENGTH);
    await readFully(this.#source.file, bytes, offset);
    if (bytes.equals(encodeFrameHeader({ kind: 'stop', start: 0, length: 0 }))) return;
    const message = `${this.#source.what}: ${this.#source.path} has no STOP frame at byte ${offset}`;
    this.#report({ code: 'VB_FRAME_DAMAGED', message, file: this.#source.path, offset, disk: this.#options.disk.name });
  }

  #gap(record: FrameRecord, offset: number): Damage {
    const { what, path } = this.#source;
    const message = `${what}: frames of ${path} do not touch at byte ${offset}`;
    const extent = { offset: record.offset, length: record.length };
    return { code: 'VB_FRAME_DAMAGED', message, file: path, offset, disk: this.#options.disk.name, extent };
  }

  #wholeDisk(detail: string): Damage {
    const { disk, indexPath } = this.#options;
    const extent = { offset: 0, length: disk.size };
    const message = `${this.#source.what}: ${detail}`;
    return { code: 'VB_INDEX_DAMAGED', message, file: indexPath, disk: disk.name, extent };
  }

  #report(damage: Damage): void {
    if (this.damage.length < DAMAGE_LIMIT) this.damage.push(damage);
  }
}

/** Where the next frame's header begins. */
const endInFile = (record: FrameRecord): number =>
  record.kind === 'zero' ? record.fileOffset : record.fileOffset + record.storedLength + TERMINATOR.length;

const damageOf = (error: DamagedFrameError, disk: string): Damage => ({
  code: error.code,
  message: error.message,
  file: error.file,
  offset: error.offset,
  disk,
  extent: error.extent,
});
