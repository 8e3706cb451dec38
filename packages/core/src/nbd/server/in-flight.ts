import type { ByteBudget } from './byte-budget.js';

export interface InFlightLimits {
  readonly maximumCount: number;
  readonly maximumBytes: number;
  /** What all connections share. */
  readonly budget: ByteBudget;
}

/** Bounds what one connection may have going on: requests, and the bytes that they hold. One waiter at a time. */
export class InFlight {
  readonly #limits: InFlightLimits;
  readonly #running = new Set<Promise<void>>();
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(limits: InFlightLimits) {
    this.#limits = limits;
  }

  /**
   * Waits until a request of `bytes` fits, and takes them until {@link add}'s work ends or {@link leave}. One that is
   * larger than the bound fits alone.
   */
  async enter(bytes: number): Promise<void> {
    while (!this.#fits(bytes)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#bytes += bytes;
    await this.#limits.budget.acquire(bytes);
  }

  /** Gives back what {@link enter} took. */
  leave(bytes: number): void {
    this.#bytes -= bytes;
    this.#limits.budget.release(bytes);
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Counts `work`, which never fails and has entered, until it ends. */
  add(bytes: number, work: Promise<void>): void {
    const counted = work.finally(() => {
      this.#running.delete(counted);
      this.leave(bytes);
    });
    this.#running.add(counted);
  }

  /** Waits until nothing is going on. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  #fits(bytes: number): boolean {
    if (this.#running.size === 0) return true;
    return this.#running.size < this.#limits.maximumCount && this.#bytes + bytes <= this.#limits.maximumBytes;
  }
}
