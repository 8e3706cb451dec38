import type { BigIntStats } from 'node:fs';
import { type FileHandle, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { VBackupError } from '@vbackup/core/errors';
import { systemCode } from '@vbackup/core/storage';
import { deviceSize, sectorsWritten } from './device-use.js';

/** A file system's clock ticks every few milliseconds: two writes in one tick leave one time. */
const CLOCK_TICK_MS = 50;
const TRIES = 4;
const NOTHING_TO_WRITE: readonly string[] = ['EINVAL', 'EROFS'];

/** What changes when a file or a device is written to. */
export interface Stamp {
  readonly device: bigint;
  readonly inode: bigint;
  /** Bytes; null where nobody says. */
  readonly size: number | null;
  /** Nanoseconds since 1970; 0 of a device. */
  readonly modified: bigint;
  /** As `modified`, but no program can set it: some set the other one back. */
  readonly changed: bigint;
  /** Sectors written and discarded so far; null of a file, or where nobody says. */
  readonly written: number | null;
}

/** What is used of an open file: a `FileHandle` is one. */
export type StampedFile = Pick<FileHandle, 'datasync'> & {
  stat(options: { readonly bigint: true }): Promise<BigIntStats>;
};

/** The stamp of an open image, taken when its time of modification lies far enough back that a next write changes it. */
export async function takeStamp(handle: StampedFile): Promise<Stamp> {
  let stats = await handle.stat({ bigint: true });
  if (stats.isBlockDevice()) return deviceStamp(handle, stats);
  // A write through a memory map is noted only if the page lies clean in memory (the kernel's page_mkwrite).
  await writeBack(handle);
  stats = await handle.stat({ bigint: true });
  for (let tries = 1; tries < TRIES && isRecent(stats); tries += 1) {
    await delay(CLOCK_TICK_MS);
    stats = await handle.stat({ bigint: true });
  }
  return fileStamp(stats);
}

const isRecent = ({ mtimeNs, ctimeNs }: BigIntStats): boolean =>
  [mtimeNs, ctimeNs].some((time) => Math.abs(Date.now() - Number(time / 1_000_000n)) < CLOCK_TICK_MS);

const fileStamp = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): Stamp => ({
  device: dev,
  inode: ino,
  size: Number(size),
  modified: mtimeNs,
  changed: ctimeNs,
  written: null,
});

/** File systems that cannot be written to may know no such thing (EINVAL: fsync(2)), and have nothing to write back. */
async function writeBack(handle: StampedFile): Promise<void> {
  try {
    await handle.datasync();
  } catch (error) {
    if (!NOTHING_TO_WRITE.includes(systemCode(error) ?? '')) throw error;
  }
}

async function deviceStamp(handle: StampedFile, { rdev, ino }: BigIntStats): Promise<Stamp> {
  // What was written before may still lie in memory, and would count as written later.
  await writeBack(handle);
  const [size, written] = [await deviceSize(rdev), await sectorsWritten(rdev)];
  return { device: rdev, inode: ino, size, modified: 0n, changed: 0n, written };
}

/**
 * Throws unless the image at `path` is the one that `before` was taken of, and nobody wrote to it since.
 * @throws VBackupError VB_FILE_CHANGED
 */
export async function checkStamp(path: string, handle: StampedFile, before: Stamp): Promise<void> {
  const fault = await faultOf(path, handle, before);
  if (fault === null) return;
  throw new VBackupError('VB_FILE_CHANGED', `${path} ${fault} while it was backed up`, {
    cure: 'stop what writes to it, or back up a snapshot of it',
  });
}

async function faultOf(path: string, handle: StampedFile, before: Stamp): Promise<string | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  if (found === null) return 'vanished';
  const stats = await handle.stat({ bigint: true });
  const now = stats.isBlockDevice() ? await deviceStamp(handle, stats) : fileStamp(stats);
  if ((stats.isBlockDevice() ? found.rdev : found.dev) !== before.device || found.ino !== before.inode) {
    return 'was replaced';
  }
  if (now.size !== before.size) return `changed its size from ${before.size} to ${now.size} bytes`;
  if (now.modified !== before.modified || now.written !== before.written) return 'was written to';
  return now.changed === before.changed ? null : 'was written to, or its owner, mode or links were changed,';
}
