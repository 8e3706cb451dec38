/** Bounds what one connection may have going on: requests, and the bytes that they hold. One waiter at a time. */
export class InFlight {
  readonly #maximumCount: number;
  readonly #maximumBytes: number;
  readonly #running = new Set<Promise<void>>();
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(limits: { readonly maximumCount: number; readonly maximumBytes: number }) {
    this.#maximumCount = limits.maximumCount;
    this.#maximumBytes = limits.maximumBytes;
  }

  /** Waits until a request of `bytes` fits; one that is larger than the bound fits alone. */
  async room(bytes: number): Promise<void> {
    while (!this.#fits(bytes)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Counts `work`, which never fails, until it ends. */
  add(bytes: number, work: Promise<void>): void {
    this.#bytes += bytes;
    const counted = work.finally(() => {
      this.#running.delete(counted);
      this.#bytes -= bytes;
      const wake = this.#wake;
      this.#wake = undefined;
      wake?.();
    });
    this.#running.add(counted);
  }

  /** Waits until nothing is going on. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  #fits(bytes: number): boolean {
    if (this.#running.size === 0) return true;
    return this.#running.size < this.#maximumCount && this.#bytes + bytes <= this.#maximumBytes;
  }
}
