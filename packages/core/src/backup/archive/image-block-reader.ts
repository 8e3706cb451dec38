import type { AllocationExtent, Extent } from '../../extent/index.js';
import type { BlockReader, WithSignal } from '../../hypervisor/index.js';
import type { ImageReader } from '../image.js';

/** The longest piece that is asked for at once. */
const MAXIMUM_REQUEST = 1024 * 1024;
const MAXIMUM_IN_FLIGHT = 4;

/** One disk of a backup, or one device of an archive, read as a device is; zeros are known without reading them. */
export class ImageBlockReader implements BlockReader {
  readonly size: number;
  readonly limits = { alignment: 1, maximumRequest: MAXIMUM_REQUEST, maximumInFlight: MAXIMUM_IN_FLIGHT };
  readonly #image: Pick<ImageReader, 'size' | 'extents' | 'read' | typeof Symbol.asyncDispose>;

  constructor(image: Pick<ImageReader, 'size' | 'extents' | 'read' | typeof Symbol.asyncDispose>) {
    this.size = image.size;
    this.#image = image;
  }

  read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    return this.#image.read(offset, target, options);
  }

  async *allocation(range: Extent, { signal }: WithSignal = {}): AsyncGenerator<AllocationExtent> {
    for (const extent of this.#image.extents(range)) {
      signal?.throwIfAborted();
      yield extent;
    }
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#image[Symbol.asyncDispose]();
  }
}
