import assert from 'node:assert/strict';
import { SlotPool } from '../../memory/slot-pool.js';
import { frameLengthOf, slotCountOf } from '../copy/geometry.js';
import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import { digestOf } from '../frame-digest/frame-digest.js';
import type { Compression } from '../manifest.js';
import { shared } from '../workers/shared.js';
import type { WorkerPool } from '../workers/worker-pool.js';

/** Frames that are encoded together, at most. */
export const BATCH_FRAMES = 64;
/**
 * What incompressible data grows by as LZ4 frames: header and end mark of each, and a word per block of 256 KiB; 2 KiB where all
 * are of 64 KiB.
 */
const LZ4_GROWTH = 4096;
/** Frames of zeros, compressed, by length; nearly always there is one length. */
const ZERO_FRAME_LIMIT = 64;

/** One frame as it goes to the file. */
export interface StoredFrame {
  readonly stored: Buffer;
  /** Of the disk's bytes. */
  readonly digest: Buffer;
}

/** Frames that were encoded together. */
export interface StoredFrames {
  readonly frames: readonly StoredFrame[];
  /** What is stored is not needed any more. */
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

  /** No range that is encoded crosses a multiple of the frames' length, and no batch is longer than it. */
  get frameLength(): number {
    return this.#frameLength;
  }

  /**
   * Compresses and hashes frames, by one thread; the bytes must stay as they are until the frames are released.
   * @param inputs - at most {@link BATCH_FRAMES}, of {@link frameLength} in all
   */
  async encode(inputs: readonly Buffer[]): Promise<StoredFrames> {
    // The slot is taken in the order of the calls, so that the frames that are written next always have one.
    const slot = this.#slots === null ? null : await this.#slots.acquire();
    try {
      const work = { algorithm: this.#algorithm, inputs: inputs.map(shared), output: slot?.buffer };
      const done = await this.#workers.encodeAll(work);
      let at = 0;
      const frames = done.map(({ digest, length }, index) => {
        const stored = slot === null ? inputs[index] : slot.buffer.subarray(at, at + length);
        assert.ok(stored !== undefined, 'more frames than inputs');
        at += length;
        return { stored, digest };
      });
      return { frames, release: () => slot?.release() };
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
    return { stored: Buffer.from(output.subarray(0, done.length)), digest: done.digest };
  }

  #uncompressedZeros(bytes: Buffer): StoredFrame {
    return { stored: bytes, digest: digestOf(this.#algorithm, bytes) };
  }
}
