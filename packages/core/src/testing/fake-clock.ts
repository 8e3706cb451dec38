import { setImmediate as turn } from 'node:timers/promises';
import type { WithSignal } from '../hypervisor/index.js';
import type { Clock } from '../pace/index.js';

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** A clock that stands still until it is told to go on. */
export class FakeClock implements Clock {
  #time = 0;
  #sleepers: Sleeper[] = [];

  now(): number {
    return this.#time;
  }

  sleep(durationMs: number, { signal }: WithSignal = {}): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { until: this.#time + durationMs, wake: resolve };
    this.#sleepers.push(sleeper);
    signal?.addEventListener('abort', () => {
      this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
      reject(signal.reason);
    });
    return promise;
  }

  /** Goes on to `time`, from one who sleeps to the next: each does what it has to do before the time goes on. */
  async advanceTo(time: number): Promise<void> {
    await turn();
    for (let next = this.#first(time); next !== undefined; next = this.#first(time)) {
      this.#time = next.until;
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== next);
      next.wake();
      await turn();
    }
    this.#time = time;
  }

  /** As long as someone sleeps. */
  async advance(): Promise<void> {
    await turn();
    for (let next = this.#first(); next !== undefined; next = this.#first()) await this.advanceTo(next.until);
  }

  #first(limit = Number.POSITIVE_INFINITY): Sleeper | undefined {
    const [first] = this.#sleepers.toSorted((left, right) => left.until - right.until);
    return first !== undefined && first.until <= limit ? first : undefined;
  }
}
