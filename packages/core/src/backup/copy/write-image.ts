import { type Extent, endOf, splitAt } from '../../extent/index.js';
import type { BlockWriter, WithSignal } from '../../hypervisor/index.js';
import { type Slot, SlotPool } from '../../memory/slot-pool.js';
import type { ImageReader } from '../image.js';
import { Channel } from './channel.js';
import { frameLengthOf, slotCountOf } from './geometry.js';
import { TargetWriter } from './target-writer.js';

export interface WriteImageOptions extends WithSignal {
  readonly image: Pick<ImageReader, 'size' | 'read'>;
  readonly target: BlockWriter;
  /** What the image holds: ascending and disjoint. Everything else is zero. */
  readonly data: readonly Extent[];
  /** Disks that are written at the same time and share the memory, this one included. Default 1. */
  readonly disksAtOnce?: number | undefined;
  /** Bytes of `data` that are in the target. */
  readonly onProgress: (done: number) => void;
}

/**
 * Writes an image to a target that the caller finishes. Several frames are read and decoded at once; the target has as
 * many requests at once as it takes, and none any more when this ends. The first failure stops the rest, and is told.
 */
export async function writeImage(options: WriteImageOptions): Promise<void> {
  const { target, signal } = options;
  await using writer = new TargetWriter({ target, signal });
  await new ImageWriting(options, writer).run();
  await writer.finish();
}

type Piece = { readonly extent: Extent; readonly slot: Slot; readonly bytes: Buffer; readonly read: Promise<void> };

class ImageWriting {
  readonly #options: WriteImageOptions;
  readonly #writer: TargetWriter;
  readonly #pieceLength: number;
  readonly #slots: SlotPool;
  readonly #pieces = new Channel<Piece>();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #reads = new Set<Promise<void>>();
  #done = 0;

  constructor(options: WriteImageOptions, writer: TargetWriter) {
    const { image, target, disksAtOnce, signal } = options;
    const frameLength = frameLengthOf(image.size);
    this.#options = options;
    this.#writer = writer;
    this.#pieceLength = Math.min(frameLength, target.limits.maximumRequest);
    this.#slots = new SlotPool({ count: slotCountOf(frameLength, disksAtOnce), length: this.#pieceLength });
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
  }

  async run(): Promise<void> {
    await Promise.all([this.#guard(this.#read()), this.#guard(this.#write())]);
    // Slots belong to the image until its reads are settled, however they end.
    await Promise.allSettled(this.#reads);
    this.#signal.throwIfAborted();
    this.#slots[Symbol.dispose]();
  }

  async #guard(half: Promise<void>): Promise<void> {
    try {
      await half;
    } catch (error) {
      this.#stop.abort(error);
      this.#pieces.close();
    }
  }

  async #read(): Promise<void> {
    for (const extent of splitAt(this.#options.data, this.#pieceLength)) {
      const slot = await this.#slots.acquire({ signal: this.#signal });
      this.#signal.throwIfAborted();
      const bytes = slot.buffer.subarray(0, extent.length);
      const read = this.#options.image.read(extent.offset, bytes, { signal: this.#signal });
      this.#reads.add(read);
      read.catch((error: unknown) => this.#stop.abort(error)).finally(() => this.#reads.delete(read));
      this.#pieces.push({ extent, slot, bytes, read });
    }
    this.#pieces.close();
  }

  async #write(): Promise<void> {
    const writing = new Set<Promise<void>>();
    const track = (write: Promise<void>): void => {
      const tracked = write.finally(() => writing.delete(tracked));
      tracked.catch((error: unknown) => this.#stop.abort(error));
      writing.add(tracked);
    };
    let end = 0;
    for await (const piece of this.#pieces) {
      await piece.read;
      this.#signal.throwIfAborted();
      const { offset } = piece.extent;
      if (offset > end) track(this.#writer.zero(end, offset - end));
      track(this.#written(piece));
      end = endOf(piece.extent);
    }
    this.#signal.throwIfAborted();
    const { size } = this.#options.image;
    if (size > end) track(this.#writer.zero(end, size - end));
    await Promise.all(writing);
  }

  async #written({ extent, slot, bytes }: Piece): Promise<void> {
    try {
      await this.#writer.data(extent.offset, bytes);
    } finally {
      slot.release();
    }
    this.#done += extent.length;
    this.#options.onProgress(this.#done);
  }
}
