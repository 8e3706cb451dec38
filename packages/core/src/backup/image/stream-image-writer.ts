import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Extent, endOf, splitAt } from '../../extent/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import { SparseStreamEncoder } from '../../sparse-stream/encoder.js';
import type { StreamOptions } from '../../sparse-stream/meta.js';
import { AppendFile } from '../../storage/append-file.js';
import { PARTIAL_SUFFIX, publish, syncDirectory } from '../../storage/durable.js';
import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import { FrameIndexWriter } from '../frame-index/index-writer.js';
import type { ImagePiece, ImageSummary, ImageWriter } from '../image.js';
import type { Compression } from '../manifest.js';
import type { FileSums, WorkerPool } from '../workers/worker-pool.js';
import { BATCH_FRAMES, FrameEncoder, type StoredFrames } from './frame-encoder.js';
import {
  type Entry,
  framesEntry,
  type PlacedFrame,
  placeData,
  placeEntry,
  type Settle,
  type ZerosEntry,
} from './image-entry.js';
import { StreamFile } from './stream-file.js';

/** One write takes at most this many bytes, and frames. */
const WRITE_LENGTH = 4 * 1024 * 1024;
const WRITE_FRAMES = 64;

/**
 * Where a full was planned, this share of its data may be zeros that are stored: a few pages that nobody knew of would have the whole
 * file read again, because META says how much data follows.
 */
const STORED_ZEROS_SHARE = 1 / 128;

const NO_FRAMES: StoredFrames = { frames: [], release: () => undefined };

/** Where a disk's stream goes, and what it says of itself. */
export interface StreamImageOptions {
  /** Both absolute, without the partial suffix. */
  readonly path: string;
  readonly indexPath: string;
  readonly stream: StreamOptions;
  readonly compression: Compression;
  /** Of the frames' digests. */
  readonly algorithm: DigestAlgorithm;
  /** Disks that are written at the same time and share the memory. Default 1. */
  readonly disksAtOnce?: number | undefined;
  readonly workers: WorkerPool;
  /** Called when both files have their names. */
  readonly onFinished: (files: { stream: FileSums; index: FileSums; summary: ImageSummary }) => Promise<void>;
}

/**
 * Writes one disk of one backup as a SparseStream and its index. Frames are compressed and hashed in workers, in any
 * order, and written in the order of the calls, one write in flight. In a full, neighbouring zeros become one ZERO frame;
 * in an increment zeros are frames like others (specs: the peer's restore ignores ZERO frames).
 */
export class StreamImageWriter implements ImageWriter {
  readonly #options: StreamImageOptions;
  readonly #file: StreamFile;
  readonly #indexFile: AppendFile;
  readonly #index: FrameIndexWriter;
  readonly #stream: SparseStreamEncoder;
  readonly #frames: FrameEncoder;
  readonly #queue: Entry[] = [];
  #draining: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;
  /** So many more zeros of a full are stored as data; below zero, none are. */
  #spareZeros: number;
  /** Zeros of a full that the next call may continue. */
  #zeros: Extent | null = null;

  private constructor(options: StreamImageOptions, files: { stream: StreamFile; index: AppendFile }) {
    this.#options = options;
    this.#file = files.stream;
    this.#indexFile = files.index;
    const { workers, compression, algorithm, disksAtOnce } = options;
    const size = options.stream.virtualSize;
    this.#index = new FrameIndexWriter(files.index.handle, { size, algorithm });
    this.#stream = new SparseStreamEncoder(options.stream);
    this.#spareZeros = Math.floor((options.stream.dataSize ?? 0) * STORED_ZEROS_SHARE);
    this.#frames = new FrameEncoder({ workers, compression, algorithm, disksAtOnce, size });
  }

  static async open(options: StreamImageOptions): Promise<StreamImageWriter> {
    const { workers, path, stream: meta } = options;
    const sumsOnTheWay = meta.dataSize !== undefined;
    const stream = await StreamFile.create(path + PARTIAL_SUFFIX, { workers, sumsOnTheWay });
    let index: AppendFile | undefined;
    try {
      index = await AppendFile.create(options.indexPath + PARTIAL_SUFFIX);
      const writer = new StreamImageWriter(options, { stream, index });
      await stream.append([writer.#stream.begin()]);
      return writer;
    } catch (error) {
      for (const file of [stream, index]) {
        if (file === undefined) continue;
        await file[Symbol.asyncDispose]();
        await rm(file.path, { force: true });
      }
      throw error;
    }
  }

  data(offset: number, bytes: Buffer): Promise<void> {
    return this.writeAll([{ offset, length: bytes.length, bytes }]);
  }

  zero(offset: number, length: number): Promise<void> {
    return this.writeAll([{ offset, length, bytes: null }]);
  }

  async writeAll(pieces: readonly ImagePiece[]): Promise<void> {
    const written: Promise<void>[] = [];
    let batch: ImagePiece[] = [];
    let batchLength = 0;
    const close = (): void => {
      if (batch.length > 0) written.push(this.#encode(batch));
      batch = [];
      batchLength = 0;
    };
    for (const piece of pieces) {
      if (piece.bytes === null && this.#options.stream.incremental) {
        const { offset, length } = piece;
        close();
        written.push(this.#enqueue((settle) => ({ kind: 'zeros', offset, length, settle })));
        continue;
      }
      for (const part of this.#framesOf(piece)) {
        const added = part.bytes?.length ?? 0;
        if (batchLength + added > this.#frames.frameLength || batch.length === BATCH_FRAMES) close();
        batch.push(part);
        batchLength += added;
      }
    }
    close();
    await Promise.all(written);
  }

  async finish({ signal }: WithSignal = {}): Promise<ImageSummary> {
    const zeros = this.#zeros;
    // Only a failure of the writer as a whole can come back, and that is told here.
    if (zeros !== null) this.#encode([{ ...zeros, bytes: null }]).catch(() => undefined);
    await this.#draining;
    if (this.#failure !== null) throw this.#failure.error;
    const end = this.#stream.finish();
    await this.#file.append(end.buffers);
    if (end.dataSize !== this.#options.stream.dataSize) await this.#file.patch(end.patch.bytes, end.patch.fileOffset);
    await this.#index.finish();
    const { workers, path, indexPath } = this.#options;
    const [stream, index] = await Promise.all([
      this.#file.finish({ signal }),
      workers.digestFile(this.#indexFile.path, { signal }),
      this.#indexFile.sync(),
    ]);
    await this.#close();
    await publish(indexPath);
    await publish(path);
    const summary = { dataLength: end.dataSize, storedLength: stream.size };
    await this.#options.onFinished({ stream, index, summary });
    return summary;
  }

  keepsZeros(length: number): boolean {
    // In an increment zeros are data, and their frames are made once.
    if (this.#options.stream.incremental) return false;
    this.#spareZeros -= length;
    if (this.#spareZeros >= 0) return true;
    this.#file.giveUpSums();
    return false;
  }

  dataIsLess(): void {
    this.#file.giveUpSums();
  }

  async abort(): Promise<void> {
    this.#failure ??= { error: new Error('the image was given up') };
    await this.#draining;
    await this.#close();
    for (const path of [this.#options.path, this.#options.indexPath]) {
      await rm(path + PARTIAL_SUFFIX, { force: true });
      await rm(path, { force: true });
    }
    await syncDirectory(dirname(this.#options.path));
  }

  /** What is certain with this piece: zeros of a full, which the next piece may continue, wait for it. */
  *#framesOf({ offset, length, bytes }: ImagePiece): Generator<ImagePiece> {
    const zeros = this.#zeros;
    if (bytes === null && zeros !== null && endOf(zeros) === offset) {
      this.#zeros = { offset: zeros.offset, length: zeros.length + length };
      return;
    }
    if (zeros !== null) yield { ...zeros, bytes: null };
    this.#zeros = bytes === null ? { offset, length } : null;
    if (bytes === null) return;
    for (const part of splitAt([{ offset, length }], this.#frames.frameLength)) {
      yield { ...part, bytes: bytes.subarray(part.offset - offset, endOf(part) - offset) };
    }
  }

  #encode(pieces: readonly ImagePiece[]): Promise<void> {
    const inputs = pieces.flatMap(({ bytes }) => bytes ?? []);
    const stored = inputs.length === 0 ? Promise.resolve(NO_FRAMES) : this.#frames.encode(inputs);
    return this.#enqueue((settle) => framesEntry(pieces, stored, settle));
  }

  #enqueue(make: (settle: Settle) => Entry): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push(make({ resolve, reject }));
    this.#draining ??= this.#drain();
    return promise;
  }

  /** Runs while there is something to write. A failure is told to everyone who waits, and to all later calls. */
  async #drain(): Promise<void> {
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      if (this.#failure !== null) {
        this.#queue.shift();
        await this.#giveUp(first, this.#failure.error);
        continue;
      }
      try {
        if (first.kind === 'zeros') await this.#writeZeros(first);
        else await this.#writeBatch();
      } catch (error) {
        this.#failure ??= { error };
      }
    }
    this.#draining = null;
  }

  /** A worker may still read the caller's bytes: the caller gets them back when it is done. */
  async #giveUp(entry: Entry, error: unknown): Promise<void> {
    if (entry.kind === 'frames') {
      const stored = await entry.stored.catch(() => null);
      stored?.release();
    }
    entry.settle.reject(error);
  }

  /** Writes the first entry and those behind it that are ready too. Entries leave the queue when they are written. */
  async #writeBatch(): Promise<void> {
    const done: (() => void)[] = [];
    const frames: PlacedFrame[] = [];
    let length = 0;
    for (const entry of this.#queue) {
      if (entry.kind === 'zeros') break;
      const isFull = length >= WRITE_LENGTH || frames.length + entry.pieces.length > WRITE_FRAMES;
      if (done.length > 0 && (!entry.ready || isFull)) break;
      const stored = await entry.stored;
      const placed = placeEntry(this.#stream, entry, stored);
      frames.push(...placed);
      for (const { encoded } of placed) length += encoded.storedLength;
      done.push(() => {
        stored.release();
        entry.settle.resolve();
      });
    }
    await this.#append(frames);
    this.#queue.splice(0, done.length);
    for (const settle of done) settle();
  }

  async #writeZeros(entry: ZerosEntry): Promise<void> {
    let batch: PlacedFrame[] = [];
    for (const piece of splitAt([entry], this.#frames.frameLength)) {
      if (this.#failure !== null) throw this.#failure.error;
      batch.push(placeData(this.#stream, piece, await this.#frames.zeros(piece.length)));
      if (batch.length < WRITE_FRAMES) continue;
      await this.#append(batch);
      batch = [];
    }
    await this.#append(batch);
    this.#queue.shift();
    entry.settle.resolve();
  }

  async #append(frames: readonly PlacedFrame[]): Promise<void> {
    await this.#file.append(frames.flatMap(({ encoded }) => encoded.buffers));
    for (const { record } of frames) await this.#index.append(record);
  }

  async #close(): Promise<void> {
    this.#frames[Symbol.dispose]();
    await this.#file[Symbol.asyncDispose]();
    await this.#indexFile[Symbol.asyncDispose]();
  }
}
