import { type AllocationExtent, type Extent, splitAt } from '../extent/index.js';
import type { BlockReader, BlockWriter, OpenTarget, ReadPiece, WithSignal } from '../hypervisor/index.js';
import type { RateLimiter } from './rate-limiter.js';

/** Zeros that are written with one call, so that the wait comes before them and not after. */
const ZERO_LENGTH = 16 * 1024 * 1024;

/** A disk that is read no faster than the limiter lets it. What is known without reading costs nothing. */
export const pacedReader = (reader: BlockReader, limiter: RateLimiter): BlockReader => new PacedReader(reader, limiter);

/**
 * A target that is written no faster than the limiter lets it. Zeros that have to be written count as data does (as they do for
 * QEMU): nobody knows what they cost the storage. Where zeros need not be written they cost nothing.
 */
export const pacedTarget =
  (openTarget: OpenTarget, limiter: RateLimiter): OpenTarget =>
  async (specification, options) =>
    new PacedWriter(await openTarget(specification, options), limiter);

class PacedReader implements BlockReader {
  readonly size: number;
  readonly limits: BlockReader['limits'];
  /** Missing where the disk cannot tell. */
  readonly allocation?: NonNullable<BlockReader['allocation']>;
  readonly readAll?: NonNullable<BlockReader['readAll']>;
  readonly #inner: BlockReader;
  readonly #limiter: RateLimiter;

  constructor(inner: BlockReader, limiter: RateLimiter) {
    this.size = inner.size;
    this.limits = inner.limits;
    if (inner.allocation !== undefined) this.allocation = (range, options) => allocationOf(inner, range, options);
    if (inner.readAll !== undefined) this.readAll = (pieces, options) => this.#readAll(pieces, options);
    this.#inner = inner;
    this.#limiter = limiter;
  }

  async read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    await this.#limiter.take(target.length, options);
    await this.#inner.read(offset, target, options);
  }

  async #readAll(pieces: readonly ReadPiece[], options?: WithSignal): Promise<void> {
    await this.#limiter.take(
      pieces.reduce((sum, { target }) => sum + target.length, 0),
      options,
    );
    await this.#inner.readAll?.(pieces, options);
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#inner[Symbol.asyncDispose]();
  }
}

async function* allocationOf(
  reader: BlockReader,
  range: Extent,
  options: WithSignal | undefined,
): AsyncGenerator<AllocationExtent> {
  yield* reader.allocation?.(range, options) ?? [];
}

async function syncOf(writer: BlockWriter, options: WithSignal | undefined): Promise<void> {
  await writer.sync?.(options);
}

class PacedWriter implements BlockWriter {
  readonly size: number;
  readonly limits: BlockWriter['limits'];
  readonly zeroed: boolean;
  readonly anyOrder?: true;
  /** Missing where the target has none. */
  readonly sync?: NonNullable<BlockWriter['sync']>;
  readonly #inner: BlockWriter;
  readonly #limiter: RateLimiter;

  constructor(inner: BlockWriter, limiter: RateLimiter) {
    this.size = inner.size;
    this.limits = inner.limits;
    this.zeroed = inner.zeroed;
    if (inner.anyOrder === true) this.anyOrder = true;
    if (inner.sync !== undefined) this.sync = (options) => syncOf(inner, options);
    this.#inner = inner;
    this.#limiter = limiter;
  }

  async write(offset: number, bytes: Buffer, options?: WithSignal): Promise<void> {
    await this.#limiter.take(bytes.length, options);
    await this.#inner.write(offset, bytes, options);
  }

  async zero(offset: number, length: number, options?: WithSignal): Promise<void> {
    for (const piece of splitAt([{ offset, length }], ZERO_LENGTH)) {
      await this.#limiter.take(piece.length, options);
      await this.#inner.zero(piece.offset, piece.length, options);
    }
  }

  finish(options?: WithSignal): Promise<void> {
    return this.#inner.finish(options);
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#inner[Symbol.asyncDispose]();
  }
}
