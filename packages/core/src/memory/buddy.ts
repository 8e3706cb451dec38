import assert from 'node:assert/strict';

export interface BuddyShape {
  /** Of all there is, in bytes: a multiple of `largest`. */
  readonly length: number;
  /** The smallest and the largest block: powers of two. */
  readonly smallest: number;
  readonly largest: number;
}

/**
 * Cuts a range into blocks of powers of two, and joins them again when both halves are free: what stays free is never cut
 * into more than the blocks in use force. Knows offsets only; the memory is somebody else's.
 */
export class BuddyBlocks {
  readonly #shape: BuddyShape;
  /** Free blocks by their length. */
  readonly #free = new Map<number, Set<number>>();
  /** Lengths of the blocks in use, by their offset. */
  readonly #used = new Map<number, number>();

  constructor(shape: BuddyShape) {
    const { length, smallest, largest } = shape;
    assert.ok(length % largest === 0 && largest % smallest === 0);
    this.#shape = shape;
    for (let size = smallest; size <= largest; size *= 2) this.#free.set(size, new Set());
    for (let offset = 0; offset < length; offset += largest) this.#free.get(largest)?.add(offset);
  }

  /** Whether nothing is in use. */
  get isIdle(): boolean {
    return this.#used.size === 0;
  }

  /** The offset of a block of at least `length` bytes; undefined where none is free. */
  take(length: number): number | undefined {
    const wanted = this.#blockLength(length);
    for (let size = wanted; size <= this.#shape.largest; size *= 2) {
      const free = this.#free.get(size);
      const offset = free?.values().next().value;
      if (free === undefined || offset === undefined) continue;
      free.delete(offset);
      // The first half is used, or cut on; the second half is free.
      for (let half = size / 2; half >= wanted; half /= 2) this.#free.get(half)?.add(offset + half);
      this.#used.set(offset, wanted);
      return offset;
    }
    return undefined;
  }

  /** Gives back what {@link take} gave. */
  give(offset: number): void {
    let size = this.#used.get(offset);
    assert.ok(size !== undefined, 'a block is given back once');
    this.#used.delete(offset);
    let at = offset;
    for (; size < this.#shape.largest; size *= 2) {
      const base = at % this.#shape.largest;
      const buddy = Math.floor(base / size) % 2 === 0 ? at + size : at - size;
      if (this.#free.get(size)?.delete(buddy) !== true) break;
      at = Math.min(at, buddy);
    }
    this.#free.get(size)?.add(at);
  }

  #blockLength(length: number): number {
    const { smallest, largest } = this.#shape;
    assert.ok(length <= largest, `a block of ${length} bytes, at most ${largest}`);
    let size = smallest;
    while (size < length) size *= 2;
    return size;
  }
}
