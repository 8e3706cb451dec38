import type { AllocationExtent, BlockLimits, BlockReader, Extent, WithSignal } from '@vbackup/core';
import type { JobWatch } from './watch.js';

/** A reader whose failures say what really happened: QEMU closes the connection when the job ends, and says nothing. */
export class WatchedReader implements BlockReader {
  readonly size: number;
  readonly limits: BlockLimits;
  readonly allocation?: (range: Extent, options?: WithSignal) => AsyncIterable<AllocationExtent>;
  readonly #source: BlockReader;
  readonly #watch: JobWatch;

  constructor(source: BlockReader, watch: JobWatch) {
    this.#source = source;
    this.#watch = watch;
    this.size = source.size;
    this.limits = source.limits;
    if (source.allocation !== undefined) this.allocation = (range, options) => this.#allocation(range, options);
  }

  async read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    try {
      await this.#source.read(offset, target, options);
    } catch (error) {
      throw await explain(error, this.#watch, options);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }

  async *#allocation(range: Extent, options?: WithSignal): AsyncGenerator<AllocationExtent> {
    try {
      yield* this.#source.allocation?.(range, options) ?? [];
    } catch (error) {
      throw await explain(error, this.#watch, options);
    }
  }
}

/** What an error of a read really was; the error itself where the job is well or nobody can be asked. */
export async function explain(error: unknown, watch: JobWatch, options: WithSignal = {}): Promise<unknown> {
  if (options.signal?.aborted === true) return error;
  return (await watch.look(options).catch(() => null)) ?? error;
}
