interface Waiter {
  readonly bytes: number;
  readonly resolve: (got: boolean) => void;
}

/** Bytes that all connections of a server share: who finds too few waits, in the order of asking. */
export class ByteBudget {
  readonly #maximum: number;
  readonly #waiters = new Set<Waiter>();
  #used = 0;

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /**
   * Waits until `bytes` are free, and takes them; more than there are in all are had when nothing else is. False, and
   * nothing taken, when `signal` aborts before.
   */
  async acquire(bytes: number, signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted === true) return false;
    if (this.#waiters.size === 0 && this.#fits(bytes)) {
      this.#used += bytes;
      return true;
    }
    return await new Promise<boolean>((resolve) => this.#wait(bytes, resolve, signal));
  }

  release(bytes: number): void {
    this.#used -= bytes;
    this.#serve();
  }

  #wait(bytes: number, settle: (got: boolean) => void, signal: AbortSignal | undefined): void {
    const leave = (): void => {
      this.#waiters.delete(waiter);
      settle(false);
      // Those behind it may be content with less.
      this.#serve();
    };
    const waiter: Waiter = {
      bytes,
      resolve: (got) => {
        signal?.removeEventListener('abort', leave);
        settle(got);
      },
    };
    signal?.addEventListener('abort', leave, { once: true });
    this.#waiters.add(waiter);
  }

  #serve(): void {
    for (const waiter of this.#waiters) {
      if (!this.#fits(waiter.bytes)) return;
      this.#waiters.delete(waiter);
      this.#used += waiter.bytes;
      waiter.resolve(true);
    }
  }

  #fits(bytes: number): boolean {
    return bytes === 0 || this.#used === 0 || this.#used + bytes <= this.#maximum;
  }
}
