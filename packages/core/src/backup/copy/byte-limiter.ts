import type { WithSignal } from '../../hypervisor/index.js';

interface Waiter {
  readonly length: number;
  readonly resolve: () => void;
}

/** Lets requests pass while neither their count nor their bytes exceed a bound; one request always passes. In order. */
export class ByteLimiter {
  readonly #countLimit: number;
  readonly #byteLimit: number;
  readonly #waiters: Waiter[] = [];
  #count = 0;
  #bytes = 0;

  constructor(limits: { readonly count: number; readonly bytes: number }) {
    this.#countLimit = Math.max(1, limits.count);
    this.#byteLimit = limits.bytes;
  }

  /** Waits for room; `release(length)` gives it back. */
  acquire(length: number, options: WithSignal = {}): Promise<void> {
    options.signal?.throwIfAborted();
    if (this.#waiters.length === 0 && this.#fits(length)) {
      this.#take(length);
      return Promise.resolve();
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { length, resolve };
    this.#waiters.push(waiter);
    const signal = options.signal;
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

  release(length: number): void {
    this.#count -= 1;
    this.#bytes -= length;
    for (let first = this.#waiters[0]; first !== undefined && this.#fits(first.length); first = this.#waiters[0]) {
      this.#waiters.shift();
      this.#take(first.length);
      first.resolve();
    }
  }

  #fits(length: number): boolean {
    return this.#count === 0 || (this.#count < this.#countLimit && this.#bytes + length <= this.#byteLimit);
  }

  #take(length: number): void {
    this.#count += 1;
    this.#bytes += length;
  }
}
