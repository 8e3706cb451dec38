/**
 * The items of batches, one by one. An async generator would take three turns of the microtask queue for every item,
 * which for a hundred thousand extents is as much as finding them.
 */
export class FlatIterator<Item> implements AsyncIterableIterator<Item, void, undefined> {
  readonly #batches: AsyncIterator<readonly Item[], void, undefined>;
  #batch: readonly Item[] = [];
  #index = 0;
  #filling: Promise<void> | undefined;
  #done = false;

  constructor(batches: AsyncIterable<readonly Item[], void, undefined>) {
    this.#batches = batches[Symbol.asyncIterator]();
  }

  next(): Promise<IteratorResult<Item, void>> {
    const value = this.#batch[this.#index];
    if (value === undefined) return this.#later();
    this.#index += 1;
    return Promise.resolve({ done: false, value });
  }

  async return(): Promise<IteratorResult<Item, void>> {
    this.#done = true;
    this.#batch = [];
    await this.#batches.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Those who ask while a batch is fetched wait for that one. */
  async #later(): Promise<IteratorResult<Item, void>> {
    while (!this.#done) {
      const value = this.#batch[this.#index];
      if (value !== undefined) {
        this.#index += 1;
        return { done: false, value };
      }
      this.#filling ??= this.#fill().finally(() => {
        this.#filling = undefined;
      });
      await this.#filling;
    }
    return { done: true, value: undefined };
  }

  async #fill(): Promise<void> {
    try {
      const { done, value } = await this.#batches.next();
      this.#batch = done === true ? [] : value;
      this.#index = 0;
      this.#done ||= done === true;
    } catch (error) {
      this.#done = true;
      throw error;
    }
  }
}
