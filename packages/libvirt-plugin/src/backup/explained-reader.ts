import type { AllocationExtent, BlockLimits, BlockReader, Extent, ReadPiece, WithSignal } from '@vbackup/core';

/** What an error of a read really was. */
export type Explain = (error: unknown, options?: WithSignal) => Promise<unknown>;

/** A reader whose failures say what really happened: QEMU closes the connection when it ends, and says nothing. */
export class ExplainedReader implements BlockReader {
  readonly size: number;
  readonly limits: BlockLimits;
  readonly allocation?: (range: Extent, options?: WithSignal) => AsyncIterable<AllocationExtent>;
  readonly readAll?: (pieces: readonly ReadPiece[], options?: WithSignal) => Promise<void>;
  readonly #source: BlockReader;
  readonly #explain: Explain;

  constructor(source: BlockReader, explain: Explain) {
    this.#source = source;
    this.#explain = explain;
    this.size = source.size;
    this.limits = source.limits;
    if (source.allocation !== undefined) this.allocation = (range, options) => this.#allocation(range, options);
    if (source.readAll !== undefined) {
      this.readAll = (pieces, options) => this.#explained(source.readAll?.(pieces, options), options);
    }
  }

  read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    return this.#explained(this.#source.read(offset, target, options), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }

  async #explained(read: Promise<void> | undefined, options: WithSignal | undefined): Promise<void> {
    try {
      await read;
    } catch (error) {
      throw await this.#explain(error, options);
    }
  }

  async *#allocation(range: Extent, options?: WithSignal): AsyncGenerator<AllocationExtent> {
    try {
      yield* this.#source.allocation?.(range, options) ?? [];
    } catch (error) {
      throw await this.#explain(error, options);
    }
  }
}
