import { lstat } from 'node:fs/promises';
import type { QemuNbd } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { RestorePlan } from './plan-restore.js';

export interface HoldOptions {
  /** Files that exist are replaced. */
  readonly force: boolean;
  readonly signal: AbortSignal;
}

/** The images that are replaced, held as QEMU holds an image that it writes to: meanwhile no machine can start with them. */
export interface HeldImages extends AsyncDisposable {
  readonly count: number;
}

/**
 * Looks at every file of a plan before the first one is written. An image that a running machine writes to is not replaced, not
 * even by force: the machine would go on writing to a file that has no name any more, and all of that would be lost when it
 * stops. One that is started during the restore would.
 * @throws VBackupError VB_TARGET_EXISTS, VB_IMAGE_LOCKED
 */
export async function holdImages({ steps }: RestorePlan, { force, signal }: HoldOptions): Promise<HeldImages> {
  const paths: string[] = [];
  for (const { image } of steps) if (image !== null && (await isTaken(image.path))) paths.push(image.path);
  const [first] = paths;
  if (first !== undefined && !force) {
    throw new VBackupError('VB_TARGET_EXISTS', `${first} exists`, {
      cure: 'name another file or folder, or use --force',
    });
  }
  const servers: QemuNbd[] = [];
  const release = async (): Promise<void> => {
    for (const server of servers) await server[Symbol.asyncDispose]();
  };
  try {
    for (const path of paths) {
      const server = await hold(path, signal);
      if (server !== null) servers.push(server);
    }
  } catch (error) {
    await release();
    throw error;
  }
  return { count: paths.length, [Symbol.asyncDispose]: release };
}

/** QEMU locks the file itself, whatever the format; opened as raw, nothing of it is read or written. */
async function hold(path: string, signal: AbortSignal): Promise<QemuNbd | null> {
  const { QemuNbd } = await import('@vbackup/core/qemu');
  try {
    return await QemuNbd.start({ path, format: 'raw', readOnly: false, connections: 1, signal });
  } catch (error) {
    // Where there is no QEMU, none has it open.
    if (!(error instanceof VBackupError) || error.code === 'VB_IMAGE_LOCKED') throw error;
    return null;
  }
}

async function isTaken(path: string): Promise<boolean> {
  try {
    const found = await lstat(path);
    return found.isFile() || found.isSymbolicLink();
  } catch {
    // Whatever is in the way is told when the target is opened.
    return false;
  }
}
