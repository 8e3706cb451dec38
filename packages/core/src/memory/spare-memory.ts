/** Pools are made of whole units, so that one pool's memory fits the next. */
const UNIT_LENGTH = 1024 * 1024;
/** Memory that is kept for the next pool, at most. */
const SPARE_LENGTH = 128 * 1024 * 1024;

/**
 * Memory of pools that are done, for pools to come: shared memory cannot be freed by hand, and what the pools of every disk
 * leave behind would grow to hundreds of MiB before the collector comes.
 */
class SpareMemory {
  #spare: SharedArrayBuffer[] = [];

  /** @returns at least `length` bytes; their content is whatever was there */
  take(length: number): SharedArrayBuffer {
    const [best] = this.#spare
      .filter(({ byteLength }) => byteLength >= length)
      .toSorted((left, right) => left.byteLength - right.byteLength);
    if (best === undefined) return new SharedArrayBuffer(Math.ceil(length / UNIT_LENGTH) * UNIT_LENGTH);
    this.#spare = this.#spare.filter((memory) => memory !== best);
    return best;
  }

  /** Nobody may use `memory` any more. */
  give(memory: SharedArrayBuffer): void {
    const held = this.#spare.reduce((sum, { byteLength }) => sum + byteLength, memory.byteLength);
    if (held <= SPARE_LENGTH) this.#spare.push(memory);
  }
}

/** Of this process. */
export const spareMemory = new SpareMemory();
