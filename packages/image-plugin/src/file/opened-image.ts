import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Warning } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { RestoreNote, systemCode, withIo } from '@vbackup/core/storage';
import { checkDeviceUse } from './device-use.js';
import { HEAD_LENGTH, type ImageHeader, readImageHeader, TAIL_LENGTH } from './image-header.js';
import { isLockedForWriting } from './image-lock.js';
import { checkStamp, type Stamp, takeStamp } from './stamp.js';

/** An image that nobody writes to, as far as anyone says: open, looked at, and remembered as it was. */
export class OpenedImage implements AsyncDisposable {
  readonly path: string;
  readonly handle: FileHandle;
  readonly isBlockDevice: boolean;
  readonly header: ImageHeader;
  /** Another one of a file that is made anew under its name; null of a device, which is numbered anew at every start. */
  readonly identity: string | null;
  /** Bytes of the file or the device; null where nobody says. */
  readonly size: number | null;
  readonly #stamp: Stamp;

  private constructor(path: string, handle: FileHandle, seen: Seen) {
    this.path = path;
    this.handle = handle;
    this.isBlockDevice = seen.isBlockDevice;
    this.header = seen.header;
    this.identity = seen.identity;
    this.size = seen.stamp.size;
    this.#stamp = seen.stamp;
  }

  /** @throws VBackupError VB_IMAGE_LOCKED, VB_ACCESS_DENIED, VB_IO */
  static async open(path: string, warn: (warning: Warning) => void): Promise<OpenedImage> {
    // Without O_NONBLOCK a pipe that took the file's place would keep us waiting.
    const flags = constants.O_RDONLY + constants.O_NONBLOCK;
    const handle = await withIo(`cannot open ${path}`, () => open(path, flags)).catch((error: unknown) => {
      throw systemCode(error instanceof Error ? error.cause : undefined) === 'ENOENT' ? vanished(path) : error;
    });
    try {
      return new OpenedImage(path, handle, await withIo(`cannot read ${path}`, () => look(path, handle, warn)));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** @throws VBackupError VB_FILE_CHANGED, VB_IMAGE_LOCKED if somebody has begun to write */
  async confirm(): Promise<void> {
    await withIo(`cannot look at ${this.path}`, () => checkStamp(this.path, this.handle, this.#stamp));
    await checkLock(this.path, this.handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }
}

const vanished = (path: string): VBackupError =>
  new VBackupError('VB_GUEST_NOT_FOUND', `${path} is not there any more`, { cure: 'check the path' });

interface Seen {
  readonly isBlockDevice: boolean;
  readonly header: ImageHeader;
  readonly identity: string | null;
  readonly stamp: Stamp;
}

async function look(path: string, handle: FileHandle, warn: (warning: Warning) => void): Promise<Seen> {
  const stats = await handle.stat({ bigint: true });
  if (!stats.isFile() && !stats.isBlockDevice()) {
    throw new VBackupError('VB_FILE_TYPE', `${path} is neither a file nor a block device any more`);
  }
  const isBlockDevice = stats.isBlockDevice();
  await checkLock(path, handle);
  const warning = await (isBlockDevice ? checkDeviceUse(path, stats.rdev) : RestoreNote.warningFor(path));
  if (warning !== null) warn(warning);
  const stamp = await takeStamp(handle);
  const head = await bytesAt(handle, 0, HEAD_LENGTH);
  const tail = isBlockDevice ? Buffer.alloc(0) : await bytesAt(handle, (stamp.size ?? 0) - TAIL_LENGTH, TAIL_LENGTH);
  // The number of a removed file may be given again at once.
  const identity = isBlockDevice ? null : `${stats.ino} ${stats.birthtimeNs}`;
  return { isBlockDevice, header: readImageHeader(head, tail), identity, stamp };
}

async function checkLock(path: string, handle: FileHandle): Promise<void> {
  const stats = await handle.stat({ bigint: true });
  if (!(await isLockedForWriting({ fd: handle.fd, stats }))) return;
  throw new VBackupError(
    'VB_IMAGE_LOCKED',
    `${path} is open for writing in another program: a running machine, perhaps`,
    {
      cure: 'back the machine up with its hypervisor (--hypervisor libvirt), or shut it down first',
    },
  );
}

/** Fewer where the file ends before; none before its beginning. */
async function bytesAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  if (position < 0) return Buffer.alloc(0);
  const buffer = Buffer.alloc(length);
  let filled = 0;
  for (let bytesRead = -1; bytesRead !== 0 && filled < length; filled += bytesRead) {
    ({ bytesRead } = await handle.read(buffer, filled, length - filled, position + filled));
  }
  return buffer.subarray(0, filled);
}
