import type { StreamImage } from '../backup/archive/stream-image.js';
import type { FrameCache } from '../backup/image/frame-cache.js';
import { type AllocationExtent, type Extent, splitAt } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { DiskLabel } from './image-disk.js';
import type { ServedDisk } from './served-disk.js';

/** What is decoded at once: going on where the last one ended costs nothing more. */
const BLOCK_LENGTH = 1024 * 1024;
const WINDOW_LENGTH = 64 * BLOCK_LENGTH;

let count = 0;

/**
 * A chain of SparseStream files, to be served. Its frames may be of 32 MiB, and are decoded from their beginning: whole
 * blocks are kept, and one client who goes through the disk is served best. It owns its image.
 */
export class StreamDisk implements ServedDisk {
  readonly name: string;
  readonly description: string;
  readonly size: number;
  readonly sequential = true;
  readonly changedSince = [];
  readonly #image: StreamImage;
  readonly #cache: FrameCache;
  readonly #key: string;

  constructor(image: StreamImage, { name, description, cache }: DiskLabel & { readonly cache: FrameCache }) {
    this.name = name;
    this.description = description;
    this.size = image.size;
    this.#image = image;
    this.#cache = cache;
    count += 1;
    this.#key = `stream ${count}`;
  }

  async read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    const end = offset + target.length;
    for (let block = Math.floor(offset / BLOCK_LENGTH); block * BLOCK_LENGTH < end; block += 1) {
      const start = block * BLOCK_LENGTH;
      const parts = {
        length: Math.min(BLOCK_LENGTH, this.size - start),
        load: (bytes: Buffer) => this.#image.read(start, bytes),
        use: (bytes: Buffer): void => {
          const from = Math.max(offset, start);
          bytes.copy(target, from - offset, from - start, Math.min(end - start, bytes.length));
        },
      };
      await this.#cache.use(`${this.#key}/${block}`, parts, options);
    }
  }

  /** What no frame holds, or one of zeros does, takes no place in the files: a hole. */
  async *extents(range: Extent, options?: WithSignal): AsyncGenerator<AllocationExtent> {
    // The image looks at all frames of a range before it says a word.
    for (const window of splitAt([range], WINDOW_LENGTH)) {
      options?.signal?.throwIfAborted();
      for await (const { offset, length, kind } of this.#image.allocation(window)) {
        yield { offset, length, kind: kind === 'data' ? 'data' : 'hole' };
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#image[Symbol.asyncDispose]();
  }
}
