import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { WithSignal } from '../../hypervisor/index.js';
import { type EncodedFrame, SparseStreamEncoder } from '../../sparse-stream/encoder.js';
import { FRAME_HEADER_LENGTH } from '../../sparse-stream/frame-header.js';
import type { StreamOptions } from '../../sparse-stream/meta.js';
import { AppendFile } from '../../storage/append-file.js';
import { PARTIAL_SUFFIX, publish, syncDirectory } from '../../storage/durable.js';
import { DIGEST_LENGTH, type DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import { FrameIndexWriter } from '../frame-index/index-writer.js';
import type { ImageSummary, ImageWriter } from '../image.js';
import type { Compression } from '../manifest.js';
import type { FileSums, WorkerPool } from '../workers/worker-pool.js';
import { FrameEncoder, type StoredFrame } from './frame-encoder.js';
import { StreamFile } from './stream-file.js';

/** One write takes at most this many bytes, and frames. */
const WRITE_LENGTH = 4 * 1024 * 1024;
const WRITE_FRAMES = 64;

/**
 * Where a full was planned, this share of its data may be zeros that are stored: a few pages that nobody knew of would have the whole
 * file read again, because META says how much data follows.
 */
const STORED_ZEROS_SHARE = 1 / 128;

const NO_DIGEST = Buffer.alloc(DIGEST_LENGTH);

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

type Entry =
  | { kind: 'data'; offset: number; length: number; frame: Promise<StoredFrame>; ready: boolean; settle: Settle }
  | { kind: 'zero'; offset: number; length: number; settle: Settle };

interface Settle {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Pending {
  readonly entry: Entry | null;
  readonly encoded: EncodedFrame;
  readonly frame: StoredFrame | null;
  readonly offset: number;
  readonly length: number;
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
  #zeros: { offset: number; length: number } | null = null;

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
    try {
      const index = await AppendFile.create(options.indexPath + PARTIAL_SUFFIX);
      const writer = new StreamImageWriter(options, { stream, index });
      await writer.#write([writer.#stream.begin()]);
      return writer;
    } catch (error) {
      await stream[Symbol.asyncDispose]();
      await rm(stream.path, { force: true });
      throw error;
    }
  }

  async data(offset: number, bytes: Buffer): Promise<void> {
    this.#flushZeros();
    const written: Promise<void>[] = [];
    for (const piece of this.#frames.split(offset, bytes.length)) {
      const frame = this.#frames.encode(bytes.subarray(piece.offset - offset, piece.offset - offset + piece.length));
      written.push(this.#enqueue((settle) => dataEntry(piece, frame, settle)));
    }
    await Promise.all(written);
  }

  async zero(offset: number, length: number): Promise<void> {
    if (this.#options.stream.incremental) {
      await this.#enqueue((settle) => ({ kind: 'zero', offset, length, settle }));
    } else if (this.#zeros !== null && this.#zeros.offset + this.#zeros.length === offset) {
      this.#zeros = { offset: this.#zeros.offset, length: this.#zeros.length + length };
    } else {
      this.#flushZeros();
      this.#zeros = { offset, length };
    }
  }

  async finish({ signal }: WithSignal = {}): Promise<ImageSummary> {
    this.#flushZeros();
    await this.#draining;
    if (this.#failure !== null) throw this.#failure.error;
    const end = this.#stream.finish();
    await this.#write(end.buffers);
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

  #flushZeros(): void {
    const zeros = this.#zeros;
    if (zeros === null) return;
    this.#zeros = null;
    // Only a failure of the writer as a whole can come back, and that is told to every later call.
    this.#enqueue((settle) => ({ kind: 'zero', ...zeros, settle })).catch(() => undefined);
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
        if (first.kind === 'zero' && this.#options.stream.incremental) await this.#writeZeros(first);
        else await this.#writeBatch();
      } catch (error) {
        this.#failure ??= { error };
      }
    }
    this.#draining = null;
  }

  /** A worker may still read the caller's bytes: the caller gets them back when it is done. */
  async #giveUp(entry: Entry, error: unknown): Promise<void> {
    if (entry.kind === 'data') {
      const frame = await entry.frame.catch(() => null);
      frame?.release();
    }
    entry.settle.reject(error);
  }

  /** Writes the first entry and those behind it that are ready too. Entries leave the queue when they are written. */
  async #writeBatch(): Promise<void> {
    const batch: Pending[] = [];
    let length = 0;
    for (const entry of this.#queue) {
      const wanted = batch.length === 0 || (entry.kind === 'data' ? entry.ready : !this.#options.stream.incremental);
      if (!wanted || length >= WRITE_LENGTH || batch.length >= WRITE_FRAMES) break;
      const pending = await this.#pending(entry);
      batch.push(pending);
      length += pending.encoded.storedLength;
    }
    const summed = this.#file.sum(buffersOf(batch));
    await this.#append(batch);
    this.#queue.splice(0, batch.length);
    const release = (): void => {
      for (const { entry, frame } of batch) {
        frame?.release();
        entry?.settle.resolve();
      }
    };
    if (summed === undefined) release();
    // The next frames are written meanwhile: memory that is not free bounds how many.
    else void summed.then(release);
  }

  async #pending(entry: Entry): Promise<Pending> {
    const { offset, length } = entry;
    if (entry.kind === 'zero') {
      return { entry, frame: null, encoded: this.#stream.zero(offset, length), offset, length };
    }
    const frame = await entry.frame;
    return { entry, frame, encoded: this.#stream.data(offset, length, frame.stored), offset, length };
  }

  async #writeZeros(entry: Entry): Promise<void> {
    let batch: Pending[] = [];
    for (const { offset, length } of this.#frames.split(entry.offset, entry.length)) {
      if (this.#failure !== null) throw this.#failure.error;
      const frame = await this.#frames.zeros(length);
      batch.push({ entry: null, frame, encoded: this.#stream.data(offset, length, frame.stored), offset, length });
      if (batch.length < WRITE_FRAMES) continue;
      await Promise.all([this.#file.sum(buffersOf(batch)), this.#append(batch)]);
      batch = [];
    }
    await Promise.all([this.#file.sum(buffersOf(batch)), this.#append(batch)]);
    this.#queue.shift();
    entry.settle.resolve();
  }

  async #append(batch: readonly Pending[]): Promise<void> {
    await this.#file.append(buffersOf(batch));
    for (const { encoded, frame, offset, length } of batch) {
      await this.#index.append({
        kind: frame === null ? 'zero' : 'data',
        offset,
        length,
        fileOffset: encoded.fileOffset + FRAME_HEADER_LENGTH,
        storedLength: encoded.storedLength,
        digest: frame?.digest ?? NO_DIGEST,
      });
    }
  }

  async #write(buffers: readonly Buffer[]): Promise<void> {
    await Promise.all([this.#file.sum(buffers), this.#file.append(buffers)]);
  }

  async #close(): Promise<void> {
    this.#frames[Symbol.dispose]();
    await this.#file[Symbol.asyncDispose]();
    await this.#indexFile[Symbol.asyncDispose]();
  }
}

const buffersOf = (batch: readonly Pending[]): readonly Buffer[] => batch.flatMap(({ encoded }) => encoded.buffers);

function dataEntry(piece: { offset: number; length: number }, frame: Promise<StoredFrame>, settle: Settle): Entry {
  const entry: Entry = { kind: 'data', ...piece, frame, ready: false, settle };
  frame.then(
    () => {
      entry.ready = true;
    },
    () => undefined,
  );
  return entry;
}
