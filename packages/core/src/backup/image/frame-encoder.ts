import { splitAt } from '../../extent/index.js';
import { SlotPool } from '../../memory/slot-pool.js';
import { frameLengthOf, slotCountOf } from '../copy/geometry.js';
import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import { digestOf } from '../frame-digest/frame-digest.js';
import type { Compression } from '../manifest.js';
import { shared } from '../workers/shared.js';
import type { WorkerPool } from '../workers/worker-pool.js';

/** What incompressible data grows by as an LZ4 frame: header, end mark, and a word per block of 256 KiB. */
const LZ4_GROWTH = 4096;
/** Frames of zeros, compressed, by length; nearly always there is one length. */
const ZERO_FRAME_LIMIT = 64;

/** One frame as it goes to the file. */
export interface StoredFrame {
  readonly stored: Buffer;
  /** Of the disk's bytes. */
  readonly digest: Buffer;
  release(): void;
}

/** Turns a disk's bytes into frames' payloads, in worker threads. */
export class FrameEncoder implements Disposable {
  readonly #workers: WorkerPool;
  readonly #compression: Compression;
  readonly #algorithm: DigestAlgorithm;
  readonly #slots: SlotPool | null;
  readonly #frameLength: number;
  readonly #zeroFrames = new Map<number, StoredFrame>();
  #zeros: Buffer | undefined;

  constructor(parts: {
    workers: WorkerPool;
    compression: Compression;
    algorithm: DigestAlgorithm;
    size: number;
    disksAtOnce?: number | undefined;
  }) {
    this.#workers = parts.workers;
    this.#compression = parts.compression;
    this.#algorithm = parts.algorithm;
    this.#frameLength = frameLengthOf(parts.size);
    const length = this.#frameLength + LZ4_GROWTH;
    this.#slots =
      parts.compression === 'none'
        ? null
        : new SlotPool({ count: slotCountOf(this.#frameLength, parts.disksAtOnce), length });
  }

  /** No range that is encoded crosses a multiple of the frames' length. */
  split(offset: number, length: number): Iterable<{ offset: number; length: number }> {
    return splitAt([{ offset, length }], this.#frameLength);
  }

  /** Compresses and hashes; `bytes` must stay as they are until the frame is released. */
  async encode(bytes: Buffer): Promise<StoredFrame> {
    // The slot is taken in the order of the calls, so that the frame that is written next always has one.
    const slot = this.#slots === null ? null : await this.#slots.acquire();
    try {
      const work = { algorithm: this.#algorithm, input: shared(bytes), output: slot?.buffer };
      const done = await this.#workers.encode(work);
      const stored = slot === null ? bytes : slot.buffer.subarray(0, done.length);
      return { stored, digest: done.digest, release: () => slot?.release() };
    } catch (error) {
      slot?.release();
      throw error;
    }
  }

  /** A frame of `length` zeros, made once. */
  async zeros(length: number): Promise<StoredFrame> {
    const known = this.#zeroFrames.get(length);
    if (known !== undefined) return known;
    this.#zeros ??= Buffer.from(new SharedArrayBuffer(this.#frameLength));
    const bytes = this.#zeros.subarray(0, length);
    const frame = this.#compression === 'none' ? this.#uncompressedZeros(bytes) : await this.#compressedZeros(bytes);
    if (this.#zeroFrames.size >= ZERO_FRAME_LIMIT) this.#zeroFrames.clear();
    this.#zeroFrames.set(length, frame);
    return frame;
  }

  /** No more frames are encoded. */
  [Symbol.dispose](): void {
    this.#slots?.[Symbol.dispose]();
  }

  async #compressedZeros(bytes: Buffer): Promise<StoredFrame> {
    const output = Buffer.from(new SharedArrayBuffer(bytes.length + LZ4_GROWTH));
    const done = await this.#workers.encode({ algorithm: this.#algorithm, input: bytes, output });
    return { stored: Buffer.from(output.subarray(0, done.length)), digest: done.digest, release: () => undefined };
  }

  #uncompressedZeros(bytes: Buffer): StoredFrame {
    return { stored: bytes, digest: digestOf(this.#algorithm, bytes), release: () => undefined };
  }
}
