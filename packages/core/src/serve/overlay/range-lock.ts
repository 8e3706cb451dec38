import { type Extent, endOf } from '../../extent/index.js';

interface Held extends Extent {
  readonly released: Promise<void>;
}

/** One at a time for every byte: who wants a range waits for those before it that want a part of it. */
export class RangeLock {
  readonly #held = new Set<Held>();

  /** Runs `work` while no other has any of `range`. */
  async hold<Result>(range: Extent, work: () => Promise<Result>): Promise<Result> {
    const before = [...this.#held].filter((other) => other.offset < endOf(range) && range.offset < endOf(other));
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const held = { offset: range.offset, length: range.length, released };
    this.#held.add(held);
    try {
      await Promise.all(before.map((other) => other.released));
      return await work();
    } finally {
      this.#held.delete(held);
      release();
    }
  }
}
