interface Waiter<Wish, Grant> {
  readonly wish: Wish;
  readonly resolve: (grant: Grant) => void;
}

/** Who waits for something that is scarce, in the order of asking. Whoever is aborted leaves the line. */
export class WaitingLine<Wish, Grant> {
  readonly #waiters: Waiter<Wish, Grant>[] = [];

  get isEmpty(): boolean {
    return this.#waiters.length === 0;
  }

  /** What the first in the line wants. */
  get first(): Wish | undefined {
    return this.#waiters[0]?.wish;
  }

  join(wish: Wish, signal?: AbortSignal): Promise<Grant> {
    const { promise, resolve, reject } = Promise.withResolvers<Grant>();
    const waiter = { wish, resolve };
    this.#waiters.push(waiter);
    if (signal === undefined) return promise;
    const stop = (): void => {
      const at = this.#waiters.indexOf(waiter);
      if (at < 0) return;
      this.#waiters.splice(at, 1);
      reject(signal.reason);
    };
    signal.addEventListener('abort', stop, { once: true });
    return promise.finally(() => signal.removeEventListener('abort', stop));
  }

  /** Lets the first go. */
  serve(grant: Grant): void {
    this.#waiters.shift()?.resolve(grant);
  }
}
