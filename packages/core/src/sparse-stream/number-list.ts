const FIRST_CAPACITY = 256;

/** Numbers in one growing array, 8 bytes each: what a long stream needs to remember per frame. */
export class NumberList {
  #values = new Float64Array(FIRST_CAPACITY);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const grown = new Float64Array(this.#length * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length] = value;
    this.#length += 1;
  }

  at(index: number): number | undefined {
    return index < this.#length ? this.#values[index] : undefined;
  }

  /** A view, valid until the next push. */
  slice(from: number, to: number): Float64Array {
    return this.#values.subarray(from, Math.min(to, this.#length));
  }
}
