import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { Guest } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { ioError, systemCode } from '@vbackup/core/storage';
import { guestId } from '../names.js';
import { deviceName } from './device-numbers.js';

/** An image or a device that is there. */
export interface FoundImage extends Guest {
  /** What it is opened by, the same in every backup. */
  readonly path: string;
}

/**
 * The file or device at a path. A file goes by its real path, a device by a name that outlives a restart: that of its
 * volume, else as the user wrote it (/dev/disk/by-id/…), for the kernel numbers devices as it finds them.
 * @throws VBackupError VB_GUEST_NOT_FOUND, VB_FILE_TYPE, VB_ACCESS_DENIED
 */
export async function findImage(selector: string): Promise<FoundImage> {
  const given = resolve(selector);
  try {
    const real = await realpath(given);
    const stats = await stat(real, { bigint: true });
    if (stats.isBlockDevice()) return found((await volumePath(stats.rdev)) ?? given);
    if (stats.isFile() && stats.size > 0n) return found(real);
    const what = stats.isFile() ? 'is empty' : 'is neither a file nor a block device';
    throw new VBackupError('VB_FILE_TYPE', `${given} ${what}`, { cure: 'name a disk image or a block device' });
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new VBackupError('VB_GUEST_NOT_FOUND', `there is no ${given}`, { cure: 'check the path' });
    }
    throw ioError(error, `cannot look at ${given}`);
  }
}

const found = (path: string): FoundImage => ({ id: guestId(path), name: path, kind: 'disk', path });

/** `/dev/mapper/<name>` of a volume of device mapper, where that names it. */
async function volumePath(device: bigint): Promise<string | undefined> {
  const file = `/sys/dev/block/${deviceName(device)}/dm/name`;
  const name = (await readFile(file, 'utf8').catch(() => '')).trim();
  if (name === '' || basename(name) !== name) return undefined;
  const path = `/dev/mapper/${name}`;
  const stats = await stat(path, { bigint: true }).catch(() => null);
  return stats?.rdev === device ? path : undefined;
}
