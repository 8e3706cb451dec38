import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { VBackupError } from '../errors/index.js';
import { detach, MOUNT_SOURCE, mountTable } from './fuse-program.js';

/**
 * Takes away what vbackup mounted on a folder, or on files in it, by whichever process.
 * @returns what was unmounted
 * @throws VBackupError VB_MOUNT_NOT_FOUND, VB_MOUNT_FAILED when it is in use
 */
export async function unmount(directory: string): Promise<readonly string[]> {
  const path = await mountPoint(resolve(directory));
  const found = (await mountTable())
    .filter(({ source, type }) => source === MOUNT_SOURCE && /^fuse(\.|$)/.test(type))
    .map((entry) => entry.path)
    .filter((mounted) => mounted === path || dirname(mounted) === path);
  if (found.length === 0) {
    throw new VBackupError('VB_MOUNT_NOT_FOUND', `vbackup mounted nothing on ${path}`, {
      cure: 'name the folder as it was given to vbackup mount; findmnt --source vbackup lists what is mounted',
    });
  }
  for (const mounted of found.toReversed()) await detach(mounted);
  return found;
}

/** A mount whose server died answers nothing, but the folder that it is in does. */
async function mountPoint(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return join(await realpath(dirname(path)).catch(() => dirname(path)), basename(path));
  }
}
