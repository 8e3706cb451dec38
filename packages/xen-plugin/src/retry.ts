import { setTimeout as sleep } from 'node:timers/promises';
import { abortError } from '@vbackup/core/errors';

export interface RetryPlan {
  /** How often the work is tried in all. */
  readonly tries: number;
  /** The first pause; each further one is twice as long. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

/** Tries again, after growing pauses, as long as `again` says that it may help. */
export async function retry<T>(
  work: () => Promise<T>,
  again: (error: unknown) => boolean,
  plan: RetryPlan,
  signal?: AbortSignal,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= plan.tries || !again(error)) throw error;
      await pause(pauseBefore(attempt, plan), signal);
    }
  }
}

/** The pause after try number `attempt`, counted from 1. */
export function pauseBefore(attempt: number, plan: RetryPlan): number {
  return Math.min(plan.firstPauseMs * 2 ** (attempt - 1), plan.longestPauseMs);
}

export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted === true) throw abortError(signal);
    throw error;
  }
}
