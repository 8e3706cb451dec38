import type { ByteBudget } from './byte-budget.js';

/**
 * Every connection may have one request of up to this many bytes in flight beside the common budget: clients that take
 * their replies slowly, and hold all of the budget, do not bring the others to a halt.
 */
export const OWN_BYTES = 256 * 1024;

export interface InFlightLimits {
  readonly maximumCount: number;
  readonly maximumBytes: number;
  /** What all connections share. */
  readonly budget: ByteBudget;
}

/** What a request holds from {@link InFlight.enter} on, until its work ends or {@link InFlight.leave}. */
export interface Place {
  readonly bytes: number;
  /** Whether it is the connection's own place; the others' bytes are those of the common budget. */
  readonly own: boolean;
}

/** Bounds what one connection may have going on: requests, and the bytes that they hold. One waiter at a time. */
export class InFlight {
  readonly #limits: InFlightLimits;
  readonly #running = new Set<Promise<void>>();
  #bytes = 0;
  #ownTaken = false;
  #wake: (() => void) | undefined;

  constructor(limits: InFlightLimits) {
    this.#limits = limits;
  }

  /**
   * Waits until a request of `bytes` fits. One that is larger than the bound fits alone. Undefined, and nothing taken,
   * when `signal` aborts while it waits for bytes that others hold.
   */
  async enter(bytes: number, signal?: AbortSignal): Promise<Place | undefined> {
    while (!this.#fits(bytes)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const own = bytes > 0 && bytes <= OWN_BYTES && !this.#ownTaken;
    if (own) this.#ownTaken = true;
    else if (!(await this.#limits.budget.acquire(bytes, signal))) return undefined;
    this.#bytes += bytes;
    return { bytes, own };
  }

  /** Gives back what {@link enter} gave. */
  leave({ bytes, own }: Place): void {
    this.#bytes -= bytes;
    if (own) this.#ownTaken = false;
    else this.#limits.budget.release(bytes);
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Holds the place until `work`, which never fails, ends. */
  add(place: Place, work: Promise<void>): void {
    const counted = work.finally(() => {
      this.#running.delete(counted);
      this.leave(place);
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
