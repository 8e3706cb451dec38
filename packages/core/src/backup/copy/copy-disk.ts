import { VBackupError } from '../../errors/index.js';
import { type Extent, splitAt, totalLength } from '../../extent/index.js';
import type { BlockReader, ReadPiece, WithSignal } from '../../hypervisor/index.js';
import { type Slot, SlotPool } from '../../memory/slot-pool.js';
import { type Run, zeroRuns } from '../../memory/zero-runs.js';
import type { ImagePiece, ImageWriter } from '../image.js';
import { writePieces } from '../write-pieces.js';
import { ByteLimiter } from './byte-limiter.js';
import { Channel } from './channel.js';
import {
  copyUnitOf,
  frameLengthOf,
  PAGE_LENGTH,
  requestLengthOf,
  shortestZeroRunOf,
  slotCountFor,
  slotCountOf,
} from './geometry.js';
import { type PlannedRange, planCopy } from './plan-copy.js';
import { ReadWindow } from './read-window.js';

/** No device has larger units. */
const LARGEST_ALIGNMENT = 1024 * 1024;
/** Requests that travel together are no longer. */
const GROUP_LENGTH = 1024 * 1024;
/** Many short ranges share a slot. */
const BATCH_ITEM_LIMIT = 256;

export interface CopyOptions extends WithSignal {
  readonly reader: BlockReader;
  readonly writer: ImageWriter;
  /** The disk's size in bytes. */
  readonly size: number;
  /** What must be copied: ascending and disjoint. */
  readonly extents: Iterable<Extent>;
  /** Disks that are copied at the same time and share the memory, this one included. Default 1. */
  readonly disksAtOnce?: number | undefined;
  /** Bytes of `extents` that are in the writer. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

export interface CopySummary {
  /** Bytes that were read from the device. */
  readonly readLength: number;
}

/**
 * Copies ranges of a frozen disk into an image: several reads in flight into pooled slots, zeros found per page, and
 * handed to the writer in ascending order. Returns when the writer has taken everything; the caller finishes it.
 */
export async function copyDisk(options: CopyOptions): Promise<CopySummary> {
  return new DiskCopy(options).run();
}

type Item = { readonly range: PlannedRange; readonly bytes: Buffer };
type Batch = {
  readonly slot: Slot;
  readonly items: Item[];
  readonly reads: Promise<void>[];
  /** What is asked for next, in one request or in several that travel together. */
  next: ReadPiece[];
  nextLength: number;
  filled: number;
};

const EMPTY = Buffer.alloc(0);

class DiskCopy {
  readonly #options: CopyOptions;
  readonly #frameLength: number;
  readonly #unit: number;
  readonly #slots: SlotPool;
  readonly #window = new ReadWindow();
  readonly #limiter: ByteLimiter;
  /** Requests travel together up to this length; where there is no such thing, each by itself. */
  readonly #groupLength: number;
  readonly #batches = new Channel<Batch>();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  /** Those whose reads may be under way. */
  readonly #reading = new Set<Batch>();
  #readLength = 0;
  #done = 0;

  constructor(options: CopyOptions) {
    const { reader, size, signal } = options;
    if (reader.size < size || reader.limits.alignment > LARGEST_ALIGNMENT) {
      const detail = `${reader.size} bytes in units of ${reader.limits.alignment}`;
      throw new VBackupError('VB_SNAPSHOT_INVALID', `cannot read a disk of ${size} bytes from a device of ${detail}`);
    }
    this.#options = options;
    this.#frameLength = frameLengthOf(size);
    this.#unit = copyUnitOf(reader.limits.alignment);
    this.#slots = new SlotPool({
      count: slotCountOf(this.#frameLength, options.disksAtOnce),
      length: this.#frameLength,
    });
    this.#limiter = new ByteLimiter({ count: reader.limits.maximumInFlight, bytes: this.#window.bytes });
    this.#groupLength = reader.readAll === undefined ? 0 : GROUP_LENGTH;
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
  }

  async run(): Promise<CopySummary> {
    const halves = [this.#guard(this.#produce()), this.#guard(this.#consume())];
    await Promise.all(halves);
    // Slots belong to the device until its reads are settled, however they end.
    await Promise.allSettled([...this.#reading].flatMap(({ reads }) => reads));
    this.#signal.throwIfAborted();
    this.#slots[Symbol.dispose]();
    return { readLength: this.#readLength };
  }

  /** The first failure stops both halves, and is the one that is told. */
  async #guard(half: Promise<void>): Promise<void> {
    try {
      await half;
    } catch (error) {
      this.#stop.abort(error);
      this.#batches.close();
    }
  }

  async #produce(): Promise<void> {
    const { reader, size, extents } = this.#options;
    let batch: Batch | undefined;
    for await (const window of planCopy({ reader, size, extents, unit: this.#unit, signal: this.#signal })) {
      for (const range of this.#cut(window)) {
        const needed = range.kind === 'data' ? this.#aligned(range.length) : 0;
        if (batch !== undefined && !this.#fits(batch, needed)) {
          await this.#complete(batch);
          batch = undefined;
        }
        batch ??= await this.#newBatch();
        await this.#ask(range, batch, needed);
      }
      // The next window may be long in coming.
      if (batch !== undefined) await this.#send(batch);
    }
    if (batch !== undefined) await this.#complete(batch);
    this.#batches.close();
  }

  #fits(batch: Batch, needed: number): boolean {
    return batch.items.length < BATCH_ITEM_LIMIT && batch.filled + needed <= this.#frameLength;
  }

  async #complete(batch: Batch): Promise<void> {
    await this.#send(batch);
    this.#batches.push(batch);
  }

  /** Data is cut at the frames of the disk; zeros need no slot. */
  *#cut(window: readonly PlannedRange[]): Generator<PlannedRange> {
    for (const range of window) {
      if (range.kind === 'zero') yield range;
      else for (const piece of splitAt([range], this.#frameLength)) yield { kind: 'data', ...piece };
    }
  }

  #aligned(length: number): number {
    return Math.ceil(length / this.#options.reader.limits.alignment) * this.#options.reader.limits.alignment;
  }

  async #newBatch(): Promise<Batch> {
    const slot = await this.#slots.acquire({ signal: this.#signal });
    const batch = { slot, items: [], reads: [], next: [], nextLength: 0, filled: 0 };
    this.#reading.add(batch);
    return batch;
  }

  /** Puts a range at the end of a batch; data comes into the slot. */
  async #ask(range: PlannedRange, batch: Batch, needed: number): Promise<void> {
    const start = batch.filled;
    const { buffer } = batch.slot;
    batch.items.push({ range, bytes: needed === 0 ? EMPTY : buffer.subarray(start, start + range.length) });
    batch.filled += needed;
    for (let at = 0, length = 0; at < needed; at += length) {
      length = Math.min(requestLengthOf(this.#window.bytes, this.#options.reader.limits), needed - at);
      if (batch.nextLength + length > this.#groupLength) await this.#send(batch);
      batch.next.push({ offset: range.offset + at, target: buffer.subarray(start + at, start + at + length) });
      batch.nextLength += length;
    }
  }

  /** Asks for what was gathered. */
  async #send(batch: Batch): Promise<void> {
    const { next, nextLength } = batch;
    if (next.length === 0) return;
    batch.next = [];
    batch.nextLength = 0;
    await this.#limiter.acquire(nextLength, { signal: this.#signal });
    const read = this.#read(next, nextLength);
    // It has stopped everything by then, and whoever waits for the batch is told.
    read.catch(() => undefined);
    batch.reads.push(read);
  }

  async #read(pieces: readonly ReadPiece[], length: number): Promise<void> {
    const { reader } = this.#options;
    const asked = performance.now();
    this.#readLength += length;
    try {
      if (reader.readAll !== undefined) await reader.readAll(pieces, { signal: this.#signal });
      else for (const { offset, target } of pieces) await reader.read(offset, target, { signal: this.#signal });
    } catch (error) {
      this.#stop.abort(error);
      throw error;
    } finally {
      this.#adapt(length, performance.now() - asked);
      this.#limiter.release(length);
    }
  }

  #adapt(length: number, tookMs: number): void {
    const before = this.#window.bytes;
    this.#window.answered({ length, tookMs });
    const { bytes } = this.#window;
    if (bytes === before) return;
    this.#slots.grow(slotCountFor(bytes, { length: this.#frameLength, disksAtOnce: this.#options.disksAtOnce ?? 1 }));
    this.#limiter.bytes = bytes;
  }

  async #consume(): Promise<void> {
    const writing = new Set<Promise<void>>();
    for await (const batch of this.#batches) {
      this.#signal.throwIfAborted();
      // Neighbours go on together: many short ranges are then one message to a worker, and one write.
      await Promise.all(batch.reads);
      this.#reading.delete(batch);
      this.#signal.throwIfAborted();
      const written = this.#write(batch).finally(() => writing.delete(written));
      written.catch((error: unknown) => this.#stop.abort(error));
      writing.add(written);
    }
    await Promise.all(writing);
  }

  async #write(batch: Batch): Promise<void> {
    await writePieces(this.#options.writer, this.#piecesOf(batch));
    batch.slot.release();
    for (const { range } of batch.items) this.#done += range.length;
    this.#options.onProgress?.(this.#done);
  }

  #piecesOf(batch: Batch): readonly ImagePiece[] {
    const pieces: ImagePiece[] = [];
    for (const { range, bytes } of batch.items) {
      if (range.kind === 'zero') {
        pieces.push({ offset: range.offset, length: range.length, bytes: null });
        continue;
      }
      for (const { kind, offset, length } of this.#runs(bytes)) {
        const held = kind === 'zero' ? null : bytes.subarray(offset, offset + length);
        pieces.push({ offset: range.offset + offset, length, bytes: held });
      }
    }
    return pieces;
  }

  /** As the writer wants them. */
  #runs(bytes: Buffer): readonly Run[] {
    const runs = [...zeroRuns(bytes, { unit: PAGE_LENGTH, shortest: shortestZeroRunOf(this.#frameLength) })];
    if (runs.every(({ kind }) => kind === 'data')) return runs;
    const zeros = totalLength(runs.filter(({ kind }) => kind === 'zero'));
    const keeps = this.#options.writer.keepsZeros?.(zeros) === true;
    return keeps ? [{ kind: 'data', offset: 0, length: bytes.length }] : runs;
  }
}
