import { setTimeout as delay } from 'node:timers/promises';
import { abortError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';

/** What waiting needs of the world; tests bring one that waits for nothing. */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  /** @throws the reason of the signal */
  sleep(durationMs: number, options?: WithSignal): Promise<void>;
}

/** The time of this machine. */
export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: async (durationMs, { signal } = {}) => {
    try {
      await delay(durationMs, undefined, { signal });
    } catch (cause) {
      throw signal === undefined ? cause : abortError(signal);
    }
  },
};
