import type { FileHandle } from 'node:fs/promises';
import type { WithSignal } from '../../hypervisor/index.js';
import { SlotPool } from '../../memory/slot-pool.js';
import { encodeFrameHeader, FRAME_HEADER_LENGTH } from '../../sparse-stream/frame-header.js';
import { readFully } from '../../storage/durable.js';
import { frameLengthOf } from '../copy/geometry.js';
import type { OnEvent } from '../events.js';
import { FrameIndexReader } from '../frame-index/index-reader.js';
import { sourceOf } from '../image/chain-image-reader.js';
import { DamagedFrameError } from '../image/damaged-frame.js';
import {
  checkDataFrame,
  checkZeroFrame,
  fetchFrame,
  lengthInFile,
  loadZeroFrame,
  type StreamSource,
  storedSlotLength,
} from '../image/frame-loader.js';
import type { Manifest, ManifestDisk } from '../manifest.js';
import type { Damage } from '../repository.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { FileSum } from './file-sum.js';
import { type FrameRun, frameRuns } from './frame-runs.js';

/** Runs of frames that are read and checked at once. */
const CHECK_LIMIT = 2;
/** A file that is all wrong is not described frame by frame. */
const DAMAGE_LIMIT = 1000;

export interface VerifyDiskOptions extends WithSignal {
  readonly file: FileHandle;
  readonly path: string;
  readonly indexPath: string;
  readonly manifest: Manifest;
  readonly disk: ManifestDisk;
  /** Whether the SHA-256 of the file is wanted too. */
  readonly withSum: boolean;
  readonly onEvent?: OnEvent | undefined;
}

/** What {@link verifyDisk} found. */
export interface VerifiedDisk {
  readonly damage: readonly Damage[];
  /** Of the whole file, lower-case hex; null if it was not wanted, or a part of the file could not be read. */
  readonly sha256: string | null;
}

/**
 * Checks the frames of one stream against its index: each header, each payload's digest, and that nothing lies between. What is
 * read for that is hashed as a file at the same time.
 * @throws ProtocolError VB_INDEX_DAMAGED: nothing can be said of the frames
 */
export async function verifyDisk(options: VerifyDiskOptions): Promise<VerifiedDisk> {
  const { disk, manifest, onEvent, withSum } = options;
  const started = Date.now();
  const planned = disk.storedLength;
  onEvent?.({ type: 'disk-start', disk: disk.name, size: disk.size, level: disk.level, planned });
  await using index = await FrameIndexReader.open(options.indexPath);
  await using sum = withSum ? new FileSum(options.file, sharedWorkers) : null;
  const source = sourceOf(options.file, { path: options.path, manifest, disk, index });
  const check = new DiskCheck(options, source, sum);
  const { data } = await check.run(index);
  const sha256 = sum === null ? null : await sum.end();
  onEvent?.({
    type: 'disk-done',
    disk: disk.name,
    read: planned,
    data,
    stored: planned,
    elapsedMs: Date.now() - started,
  });
  return { damage: check.damage, sha256 };
}

class DiskCheck {
  readonly damage: Damage[] = [];
  readonly #options: VerifyDiskOptions;
  readonly #source: StreamSource;
  readonly #stored: SlotPool;
  readonly #decoded: SlotPool;
  readonly #sum: FileSum | null;
  #done = 0;

  constructor(options: VerifyDiskOptions, source: StreamSource, sum: FileSum | null) {
    this.#options = options;
    this.#source = source;
    this.#sum = sum;
    const frameLength = frameLengthOf(options.disk.size);
    this.#stored = new SlotPool({ count: CHECK_LIMIT, length: storedSlotLength(frameLength) });
    this.#decoded = new SlotPool({ count: CHECK_LIMIT, length: frameLength });
  }

  async run(index: FrameIndexReader): Promise<{ data: number }> {
    const { disk, signal } = this.#options;
    const checking = new Set<Promise<void>>();
    const failures: unknown[] = [];
    let expected: number | null = null;
    let data = 0;
    try {
      const limits = { length: this.#stored.slotLength, dataLength: this.#decoded.slotLength };
      for await (const run of frameRuns(index.scan({ signal }), limits)) {
        if (expected !== null && run.start !== expected) this.#reportGap(run);
        expected = run.end;
        data += run.dataLength;
        const stored = await this.#stored.acquire({ signal });
        const check = this.#check(run, stored.buffer).finally(() => {
          stored.release();
          checking.delete(check);
        });
        check.catch((error: unknown) => failures.push(error));
        checking.add(check);
        // What was not checked must not pass for sound.
        if (failures.length > 0) break;
      }
    } finally {
      await Promise.allSettled(checking);
    }
    if (failures.length > 0) throw failures[0];
    this.#stored[Symbol.dispose]();
    this.#decoded[Symbol.dispose]();
    // Whichever check ended first, what was found is told in the order of the file.
    this.damage.sort((left, right) => (left.offset ?? 0) - (right.offset ?? 0));
    if (index.size !== disk.size || data !== disk.dataLength)
      this.#report(this.#wholeDisk('the index is of another disk'));
    if (expected !== null) await this.#checkStop(expected);
    return { data };
  }

  async #check(run: FrameRun, stored: Buffer): Promise<void> {
    const { onEvent, disk } = this.#options;
    const bytes = this.#read(run, stored);
    const summed = this.#sum?.add({ start: run.start, end: run.end, bytes });
    try {
      const read = await bytes;
      // What cannot be read in one piece is looked at frame by frame.
      const found = read === null ? await this.#fetchEach(run) : await this.#checkEach(run, read);
      for (const error of found) this.#report(damageOf(error, disk.name));
    } finally {
      await summed;
    }
    this.#done += run.end - run.start;
    onEvent?.({ type: 'progress', disk: disk.name, done: this.#done, planned: disk.storedLength });
  }

  async #read({ start, end, dataLength }: FrameRun, stored: Buffer): Promise<Buffer | null> {
    if (start < 0 || end - start > stored.length || dataLength > this.#decoded.slotLength) return null;
    const bytes = stored.subarray(0, end - start);
    const filled = await readFully(this.#source.file, bytes, start).catch(() => null);
    return filled === bytes.length ? bytes : null;
  }

  async #checkEach({ records, start }: FrameRun, bytes: Buffer): Promise<readonly DamagedFrameError[]> {
    const { signal } = this.#options;
    const slot = this.#source.compressed ? await this.#decoded.acquire({ signal }) : null;
    try {
      let decoded = 0;
      const checks = records.map((record) => {
        const from = record.fileOffset - FRAME_HEADER_LENGTH - start;
        const frame = bytes.subarray(from, from + lengthInFile(record));
        if (record.kind === 'zero') return damageIn(async () => checkZeroFrame(this.#source, record, frame));
        const target = slot?.buffer.subarray(decoded, decoded + record.length) ?? null;
        decoded += record.length;
        const memory = { workers: sharedWorkers, bytes: frame, target };
        return damageIn(() => checkDataFrame(this.#source, record, memory));
      });
      // Nobody uses the memory any more when all of them are settled.
      await Promise.allSettled(checks);
      return (await Promise.all(checks)).flat();
    } finally {
      slot?.release();
    }
  }

  async #fetchEach({ records }: FrameRun): Promise<readonly DamagedFrameError[]> {
    const slot = await this.#decoded.acquire({ signal: this.#options.signal });
    try {
      const found: DamagedFrameError[] = [];
      for (const record of records) {
        const memory = { workers: sharedWorkers, target: slot.buffer.subarray(0, record.length) };
        const fetch = () =>
          record.kind === 'zero' ? loadZeroFrame(this.#source, record) : fetchFrame(this.#source, record, memory);
        found.push(...(await damageIn(fetch)));
      }
      return found;
    } finally {
      slot.release();
    }
  }

  async #checkStop(offset: number): Promise<void> {
    const { file, path, what } = this.#source;
    const bytes = Buffer.alloc(FRAME_HEADER_LENGTH);
    // An end that cannot be read is damage as well: the other files are still to be checked.
    await readFully(file, bytes, offset).catch(() => undefined);
    if (bytes.equals(encodeFrameHeader({ kind: 'stop', start: 0, length: 0 }))) return;
    const message = `${what}: no STOP frame can be read of ${path} at byte ${offset}`;
    this.#report({ code: 'VB_FRAME_DAMAGED', message, file: path, offset, disk: this.#options.disk.name });
  }

  #reportGap({ start, records: [record] }: FrameRun): void {
    const { what, path } = this.#source;
    const message = `${what}: frames of ${path} do not touch at byte ${start}`;
    const extent = record === undefined ? undefined : { offset: record.offset, length: record.length };
    const { name } = this.#options.disk;
    this.#report({ code: 'VB_FRAME_DAMAGED', message, file: path, offset: start, disk: name, extent });
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

async function damageIn(check: () => Promise<void>): Promise<readonly DamagedFrameError[]> {
  try {
    await check();
    return [];
  } catch (error) {
    if (error instanceof DamagedFrameError) return [error];
    throw error;
  }
}

const damageOf = (error: DamagedFrameError, disk: string): Damage => ({
  code: error.code,
  message: error.message,
  file: error.file,
  offset: error.offset,
  disk,
  extent: error.extent,
});
