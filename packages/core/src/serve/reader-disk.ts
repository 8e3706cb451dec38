import type { AllocationExtent, Extent } from '../extent/index.js';
import type { BlockReader, WithSignal } from '../hypervisor/index.js';
import type { DiskLabel } from './image-disk.js';
import type { ServedDisk } from './served-disk.js';

/** A file, or whatever else can be read at any byte, to be served. It owns its reader, whose alignment is 1. */
export class ReaderDisk implements ServedDisk {
  readonly name: string;
  readonly description: string;
  readonly size: number;
  readonly changedSince = [];
  readonly #reader: BlockReader;

  constructor(reader: BlockReader, { name, description }: DiskLabel) {
    this.name = name;
    this.description = description;
    this.size = reader.size;
    this.#reader = reader;
  }

  async read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    const { maximumRequest } = this.#reader.limits;
    for (let at = 0; at < target.length; at += maximumRequest) {
      await this.#reader.read(offset + at, target.subarray(at, at + maximumRequest), options);
    }
  }

  async *extents(range: Extent, options?: WithSignal): AsyncGenerator<AllocationExtent> {
    if (this.#reader.allocation === undefined) yield { ...range, kind: 'data' };
    else yield* this.#reader.allocation(range, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader[Symbol.asyncDispose]();
  }
}
