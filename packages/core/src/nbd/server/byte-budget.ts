interface Waiter {
  readonly bytes: number;
  readonly resolve: () => void;
}

/** Bytes that all connections of a server share: who finds too few waits, in the order of asking. */
export class ByteBudget {
  readonly #maximum: number;
  readonly #waiters: Waiter[] = [];
  #used = 0;

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /** Waits until `bytes` are free, and takes them; more than there are in all are had when nothing else is. */
  async acquire(bytes: number): Promise<void> {
    if (this.#waiters.length === 0 && this.#fits(bytes)) {
      this.#used += bytes;
      return;
    }
    await new Promise<void>((resolve) => this.#waiters.push({ bytes, resolve }));
  }

  release(bytes: number): void {
    this.#used -= bytes;
    for (let first = this.#waiters[0]; first !== undefined && this.#fits(first.bytes); first = this.#waiters[0]) {
      this.#waiters.shift();
      this.#used += first.bytes;
      first.resolve();
    }
  }

  #fits(bytes: number): boolean {
    return bytes === 0 || this.#used === 0 || this.#used + bytes <= this.#maximum;
  }
}
