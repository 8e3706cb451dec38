import { rmdir } from 'node:fs/promises';
import { makeDirectory } from '../../storage/durable.js';
import { systemCode } from '../../storage/io-error.js';
import { acquireLock, type HeldLock } from './lock.js';

/** Every try that fails means that another process has just left the place. */
const ATTEMPT_LIMIT = 100;

/**
 * Makes the folder of a place, if it is not there, and takes its lock. Whoever leaves a place that is empty removes it, which
 * may be while it is entered here; then it is made again.
 * @throws VBackupError VB_REPOSITORY_LOCKED, VB_IO, VB_ACCESS_DENIED, VB_NO_SPACE
 */
export async function enterPlace(folder: string): Promise<HeldLock> {
  for (let attempt = 1; ; attempt += 1) {
    await makeDirectory(folder);
    try {
      return await acquireLock(folder);
    } catch (error) {
      if (!isGone(error) || attempt === ATTEMPT_LIMIT) throw error;
    }
  }
}

/** Releases the lock; of a place in which nothing was kept, nothing stays. */
export async function leavePlace(folder: string, lock: HeldLock): Promise<void> {
  await lock[Symbol.asyncDispose]();
  // It has backups, or another process enters it or was quicker, or it is not ours to remove: then it stays, and does no harm.
  await rmdir(folder).catch(() => undefined);
}

const isGone = (error: unknown): boolean => error instanceof Error && systemCode(error.cause) === 'ENOENT';
