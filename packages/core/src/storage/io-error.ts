import { VBackupError } from '../errors/index.js';

/** The `code` of a system call's error (`ENOENT`, …), or undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Says what could not be done when a system call refused it: VB_NO_SPACE, VB_ACCESS_DENIED, or VB_IO. An error that is
 * already ours, or no system error at all, passes unchanged.
 */
export function ioError(error: unknown, action: string): Error {
  if (error instanceof VBackupError) return error;
  const code = systemCode(error);
  if (code === undefined) return error instanceof Error ? error : new VBackupError('VB_IO', action, { cause: error });
  const message = `${action}: ${code}`;
  if (code === 'EFBIG') {
    const cure = 'name a place on a file system that takes files of this length';
    return new VBackupError('VB_NO_SPACE', message, { cause: error, cure });
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new VBackupError('VB_NO_SPACE', message, { cause: error, cure: 'free space there, then run again' });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new VBackupError('VB_ACCESS_DENIED', message, { cause: error });
  }
  return new VBackupError('VB_IO', message, { cause: error });
}

/** Runs `work`; what the system refuses comes out as {@link ioError}. */
export async function withIo<Result>(action: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw ioError(error, action);
  }
}
