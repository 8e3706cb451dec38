import type { WithSignal } from '../../hypervisor/index.js';
import { WaitingLine } from '../../memory/waiting-line.js';

/** Lets requests pass while neither their count nor their bytes exceed a bound; one request always passes. In order. */
export class ByteLimiter {
  readonly #countLimit: number;
  #byteLimit: number;
  readonly #line = new WaitingLine<number, void>();
  #count = 0;
  #bytes = 0;

  constructor(limits: { readonly count: number; readonly bytes: number }) {
    this.#countLimit = Math.max(1, limits.count);
    this.#byteLimit = limits.bytes;
  }

  /** How many bytes may pass from now on. */
  set bytes(limit: number) {
    this.#byteLimit = limit;
    this.#serve();
  }

  /** Waits for room; `release(length)` gives it back. */
  acquire(length: number, options: WithSignal = {}): Promise<void> {
    options.signal?.throwIfAborted();
    if (!this.#line.isEmpty || !this.#fits(length)) return this.#line.join(length, options.signal);
    this.#take(length);
    return Promise.resolve();
  }

  release(length: number): void {
    this.#count -= 1;
    this.#bytes -= length;
    this.#serve();
  }

  #serve(): void {
    for (let first = this.#line.first; first !== undefined && this.#fits(first); first = this.#line.first) {
      this.#take(first);
      this.#line.serve();
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
