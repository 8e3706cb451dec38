import { stat } from 'node:fs/promises';
import { VBackupError } from '@vbackup/core/errors';
import type { CommandContext } from '../commands/command.js';
import type { RestorePlan } from './plan-restore.js';

/**
 * An image that a running machine writes to is not replaced, not even by force: the machine would go on writing to a file that
 * has no name any more, and all of that would be lost when it stops.
 * @throws VBackupError VB_IMAGE_LOCKED
 */
export async function refuseUsedFiles({ invocation, signal }: CommandContext, { steps }: RestorePlan): Promise<void> {
  if (!invocation.options.flag('force')) return;
  for (const { image } of steps) {
    if (image !== null && (await isFile(image.path))) await refuseUsed(image.path, signal);
  }
}

/** QEMU locks the file itself, whatever the format; opened as raw, nothing of it is read or written. */
async function refuseUsed(path: string, signal: AbortSignal): Promise<void> {
  const { QemuNbd } = await import('@vbackup/core/qemu');
  try {
    await using _server = await QemuNbd.start({ path, format: 'raw', readOnly: false, connections: 1, signal });
  } catch (error) {
    // Where there is no QEMU, none has it open.
    if (!(error instanceof VBackupError) || error.code === 'VB_IMAGE_LOCKED') throw error;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    // Whatever is in the way is told when the target is opened.
    return false;
  }
}
