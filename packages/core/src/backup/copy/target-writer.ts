import { VBackupError } from '../../errors/index.js';
import { type Extent, endOf, splitAt } from '../../extent/index.js';
import type { BlockWriter, WithSignal } from '../../hypervisor/index.js';
import type { ImageSummary, ImageWriter } from '../image.js';
import { ByteLimiter } from './byte-limiter.js';

/** Bytes that are handed to the target and are not written. */
const IN_FLIGHT_BYTES = 4 * 1024 * 1024;

export interface TargetWriterOptions extends WithSignal {
  readonly target: BlockWriter;
}

/**
 * Writes to a device what a copy finds, as many requests at once as the device likes, none longer than it serves. The end
 * of a disk is filled up with zeros where the device demands whole blocks. After one that failed no more are begun: all
 * that wait fail with the same.
 */
export class TargetWriter implements ImageWriter, AsyncDisposable {
  readonly #target: BlockWriter;
  readonly #signal: AbortSignal | undefined;
  readonly #limiter: ByteLimiter;
  readonly #requestLength: number;
  readonly #writing = new Set<Promise<void>>();
  #dataLength = 0;
  /** Why nothing more is written: the first failure, or the end. */
  #stopped: { readonly reason: unknown } | undefined;

  constructor({ target, signal }: TargetWriterOptions) {
    const { alignment, maximumInFlight, maximumRequest } = target.limits;
    this.#target = target;
    this.#signal = signal;
    this.#limiter = new ByteLimiter({ count: maximumInFlight, bytes: IN_FLIGHT_BYTES });
    this.#requestLength = Math.max(alignment, Math.floor(maximumRequest / alignment) * alignment);
  }

  async data(offset: number, bytes: Buffer): Promise<void> {
    const whole = this.#wholeBlocks({ offset, length: bytes.length });
    const padded = whole.length === bytes.length ? bytes : Buffer.concat([bytes], whole.length);
    const pieces: Promise<void>[] = [];
    for (const piece of splitAt([{ offset: 0, length: whole.length }], this.#requestLength)) {
      const part = padded.subarray(piece.offset, endOf(piece));
      const write = (): Promise<void> => this.#target.write(offset + piece.offset, part, { signal: this.#signal });
      pieces.push(this.#take(part.length, write));
    }
    await Promise.all(pieces);
    this.#dataLength += bytes.length;
  }

  async zero(offset: number, length: number): Promise<void> {
    if (this.#target.zeroed) return;
    const whole = this.#wholeBlocks({ offset, length });
    await this.#take(0, () => this.#target.zero(whole.offset, whole.length, { signal: this.#signal }));
  }

  /** @throws the error of a write that failed, whoever was told of it */
  async finish(): Promise<ImageSummary> {
    await Promise.all(this.#writing);
    if (this.#stopped !== undefined) throw this.#stopped.reason;
    return { dataLength: this.#dataLength, storedLength: this.#dataLength };
  }

  /** Undoing is the target's own matter. */
  async abort(): Promise<void> {
    this.#stopped ??= { reason: new VBackupError('VB_ABORTED', 'the copy has ended') };
    // One that ends lets another one in, which then sees that it is too late.
    while (this.#writing.size > 0) await Promise.allSettled(this.#writing);
  }

  /** Returns when the target has settled every request. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }

  #wholeBlocks({ offset, length }: Extent): Extent {
    const { alignment } = this.#target.limits;
    const end = Math.min(this.#target.size, Math.ceil((offset + length) / alignment) * alignment);
    return { offset, length: end - offset };
  }

  async #take(length: number, run: () => Promise<void>): Promise<void> {
    await this.#limiter.acquire(length, { signal: this.#signal });
    if (this.#stopped !== undefined) {
      this.#limiter.release(length);
      throw this.#stopped.reason;
    }
    const running = this.#run(length, run);
    this.#writing.add(running);
    try {
      await running;
    } finally {
      this.#writing.delete(running);
    }
  }

  async #run(length: number, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (reason) {
      // Before there is room for another one.
      this.#stopped ??= { reason };
      throw reason;
    } finally {
      this.#limiter.release(length);
    }
  }
}
