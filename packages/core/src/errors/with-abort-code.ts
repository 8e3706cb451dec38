import { VBackupError } from './errors.js';

/**
 * Runs `work`; a plain `controller.abort()` comes out as VB_ABORTED, as a program expects a code. A reason that was given
 * with the abort comes out unchanged.
 */
export async function withAbortCode<Result>(
  signal: AbortSignal | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (signal?.aborted === true && error instanceof DOMException && error.name === 'AbortError') {
      throw new VBackupError('VB_ABORTED', 'aborted', { cause: error });
    }
    throw error;
  }
}
