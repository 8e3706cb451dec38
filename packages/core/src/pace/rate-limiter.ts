import { VBackupError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { type Clock, systemClock } from './clock.js';

/** What was not used for so long is lost: after a pause, and after a timer that was late, so much may go at once. */
const BURST_MS = 100;
/** Timers are no better than this; what is early by less is made up for by who comes next. */
const TICK_MS = 1;
/** The longest sleep; a timer takes no more than 2^31 ms. */
const LONGEST_SLEEP_MS = 3_600_000;

/**
 * Holds whoever asks to a number of bytes per second, all of them together: a token bucket. It is never refilled by a timer, as
 * it knows when each request may begin. A request longer than the bucket goes at once when its turn comes, and those behind it
 * wait until it is paid for: over any time longer than a request the rate holds. In the order of asking.
 */
export class RateLimiter {
  readonly bytesPerSecond: number;
  readonly #clock: Clock;
  /** Everything that was granted is paid for at this time. */
  #paidAt = Number.NEGATIVE_INFINITY;

  /** @throws VBackupError VB_INVALID_ARGUMENT unless the rate is a positive number */
  constructor(bytesPerSecond: number, clock: Clock = systemClock) {
    if (!(bytesPerSecond > 0 && Number.isFinite(bytesPerSecond))) {
      throw new VBackupError('VB_INVALID_ARGUMENT', `${bytesPerSecond} bytes per second is no rate`);
    }
    this.bytesPerSecond = bytesPerSecond;
    this.#clock = clock;
  }

  /** Returns when `length` bytes may go. Whoever is aborted while it waits does not use its share. @throws the reason of the signal */
  async take(length: number, options: WithSignal = {}): Promise<void> {
    options.signal?.throwIfAborted();
    const costMs = (length / this.bytesPerSecond) * 1000;
    const startAt = Math.max(this.#paidAt, this.#clock.now() - BURST_MS);
    this.#paidAt = startAt + costMs;
    try {
      for (let wait = startAt - this.#clock.now(); wait >= TICK_MS; wait = startAt - this.#clock.now()) {
        await this.#clock.sleep(Math.min(wait, LONGEST_SLEEP_MS), options);
      }
    } catch (error) {
      this.#paidAt -= costMs;
      throw error;
    }
  }
}
