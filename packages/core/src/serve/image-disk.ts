import type { ImageReader } from '../backup/image.js';
import type { AllocationExtent, Extent } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { Loan } from '../memory/loan.js';
import { ReadAhead } from './read-ahead.js';
import type { ChangedSince, ServedDisk } from './served-disk.js';

/** What an export is called, and what people are told of it. */
export interface DiskLabel {
  readonly name: string;
  readonly description: string;
}

/** What is read of an image; `prefetch` where it can load frames before they are asked for. */
export type ServedImage = Pick<
  ImageReader,
  'size' | 'extents' | 'read' | 'lend' | 'prefetch' | typeof Symbol.asyncDispose
>;

export interface ImageDiskParts extends DiskLabel {
  readonly image: ServedImage;
  readonly changedSince?: readonly ChangedSince[] | undefined;
  /** Closed with the disk, after the image. */
  readonly also?: readonly AsyncDisposable[] | undefined;
}

/** A disk of a backup, or a device of an archive, to be served. It owns its image. */
export class ImageDisk implements ServedDisk {
  readonly name: string;
  readonly description: string;
  readonly size: number;
  readonly changedSince: readonly ChangedSince[];
  readonly #image: ServedImage;
  readonly #also: readonly AsyncDisposable[];
  readonly #ahead = new ReadAhead();

  constructor({ name, description, image, changedSince = [], also = [] }: ImageDiskParts) {
    this.name = name;
    this.description = description;
    this.size = image.size;
    this.changedSince = changedSince;
    this.#image = image;
    this.#also = also;
  }

  async read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    await this.#goingOn({ offset, length: target.length }, () => this.#image.read(offset, target, options));
  }

  async lend(range: Extent, options?: WithSignal): Promise<Loan | undefined> {
    if (this.#image.lend === undefined) return undefined;
    return await this.#goingOn(range, () => this.#image.lend?.(range, options));
  }

  /** What is asked for now is begun first, then what comes next. */
  #goingOn<Result>(range: Extent, begin: () => Promise<Result> | undefined): Promise<Result> | undefined {
    const next = this.#image.prefetch === undefined ? undefined : this.#ahead.next(range);
    const begun = begin();
    if (next !== undefined && next.offset < this.size) this.#image.prefetch?.(next);
    return begun;
  }

  /** Zeros of a backup take no place in it: they are holes. */
  async *extents(range: Extent, { signal }: WithSignal = {}): AsyncGenerator<AllocationExtent> {
    for (const { offset, length, kind } of this.#image.extents(range)) {
      signal?.throwIfAborted();
      yield { offset, length, kind: kind === 'data' ? 'data' : 'hole' };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#image[Symbol.asyncDispose]();
    for (const each of this.#also) await each[Symbol.asyncDispose]();
  }
}
