import { copyInto } from '../memory/shared-bytes.js';
import { LZ4_HISTORY_LENGTH } from './lz4-block.js';

/** Memory that is taken at once, if a block may not need more: small blocks share it. */
const CHUNK_LENGTH = 256 * 1024;

/**
 * Where the blocks of one frame are decoded to, one behind the other, so that the history of a linked block lies right before it. That
 * is the caller's target, or memory that is taken as blocks come and never written twice.
 */
export class Lz4Output {
  readonly #growing: boolean;
  #memory: Buffer;
  #used = 0;

  constructor(target: Buffer | undefined) {
    this.#growing = target === undefined;
    this.#memory = target ?? Buffer.alloc(0);
  }

  /** What was decoded last, up to 64 KiB: before what {@link next} gives. */
  get history(): Buffer {
    return this.#memory.subarray(Math.max(0, this.#used - LZ4_HISTORY_LENGTH), this.#used);
  }

  /**
   * Room for the next `length` bytes, or as many as the target still has.
   * @param linked - whether the block may refer to those before it
   */
  next(length: number, linked: boolean): Buffer {
    if (this.#growing && this.#memory.length - this.#used < length) this.#grow(length, linked);
    return this.#memory.subarray(this.#used, this.#used + length);
  }

  /** Says that the first `length` bytes of the room are decoded. */
  accept(length: number): Buffer {
    this.#used += length;
    return this.#memory.subarray(this.#used - length, this.#used);
  }

  /** As the room and its acceptance, for a block that is stored as it is and fits. */
  store(bytes: Buffer, linked: boolean): Buffer {
    // Where nobody refers to it and nobody waits for it, the block stays where it is.
    if (this.#growing && !linked) return bytes;
    return this.accept(copyInto(this.next(bytes.length, linked), 0, bytes));
  }

  #grow(length: number, linked: boolean): void {
    const history = linked ? this.history : Buffer.alloc(0);
    this.#memory = Buffer.allocUnsafeSlow(history.length + Math.max(length, CHUNK_LENGTH));
    this.#used = history.copy(this.#memory);
  }
}
