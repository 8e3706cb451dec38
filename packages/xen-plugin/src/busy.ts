import type { WithSignal } from '@vbackup/core';
import { isApiError } from './errors.js';
import type { SrRecord } from './records.js';
import { type RetryPlan, retry } from './retry.js';

/** data_destroy itself waits 4 s for the VBD of the NBD server to go, which may take minutes on iSCSI. */
const BUSY_PLAN: RetryPlan = { tries: 10, firstPauseMs: 500, longestPauseMs: 30_000 };

/** Tries again while the host is busy with the object or its storage; such a call has done nothing yet. */
export function whenIdle<T>(work: () => Promise<T>, options: WithSignal): Promise<T> {
  return retry(
    work,
    (error) => isApiError(error, 'VDI_IN_USE', 'OTHER_OPERATION_IN_PROGRESS'),
    BUSY_PLAN,
    options.signal,
  );
}

/**
 * The operations that a storage repository does not offer. While it is busy it lists next to none (xapi,
 * xapi_sr_operations.ml): then nothing is known, and the call itself will tell.
 */
export function missingOperations(sr: SrRecord, wanted: readonly string[]): readonly string[] {
  if (Object.keys(sr.current_operations).length > 0) return [];
  return wanted.filter((operation) => !sr.allowed_operations.includes(operation));
}
