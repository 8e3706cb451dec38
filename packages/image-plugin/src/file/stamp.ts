import type { BigIntStats } from 'node:fs';
import { type FileHandle, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { VBackupError } from '@vbackup/core';
import { deviceSize, sectorsWritten } from './device-use.js';

/** A file system's clock ticks every few milliseconds: two writes in one tick leave one time. */
const CLOCK_TICK_MS = 50;
const TRIES = 4;

/** What changes when a file or a device is written to. */
export interface Stamp {
  readonly device: bigint;
  readonly inode: bigint;
  /** Bytes; null where nobody says. */
  readonly size: number | null;
  /** Nanoseconds since 1970; 0 of a device. */
  readonly modified: bigint;
  /** Sectors written so far; null of a file, or where nobody says. */
  readonly written: number | null;
}

/** The stamp of an open image, taken when its time of modification lies far enough back that a next write changes it. */
export async function takeStamp(handle: FileHandle): Promise<Stamp> {
  let stats = await handle.stat({ bigint: true });
  if (stats.isBlockDevice()) return deviceStamp(handle, stats);
  for (let tries = 1; tries < TRIES && isRecent(stats); tries += 1) {
    await delay(CLOCK_TICK_MS);
    stats = await handle.stat({ bigint: true });
  }
  return fileStamp(stats);
}

const isRecent = ({ mtimeNs }: BigIntStats): boolean =>
  Math.abs(Date.now() - Number(mtimeNs / 1_000_000n)) < CLOCK_TICK_MS;

const fileStamp = ({ dev, ino, size, mtimeNs }: BigIntStats): Stamp => ({
  device: dev,
  inode: ino,
  size: Number(size),
  modified: mtimeNs,
  written: null,
});

async function deviceStamp(handle: FileHandle, { rdev, ino }: BigIntStats): Promise<Stamp> {
  // What was written before may still lie in memory, and would count as written later.
  await handle.datasync();
  return { device: rdev, inode: ino, size: await deviceSize(rdev), modified: 0n, written: await sectorsWritten(rdev) };
}

/**
 * Throws unless the image at `path` is the one that `before` was taken of, and nobody wrote to it since.
 * @throws VBackupError VB_FILE_CHANGED
 */
export async function checkStamp(path: string, handle: FileHandle, before: Stamp): Promise<void> {
  const fault = await faultOf(path, handle, before);
  if (fault === null) return;
  throw new VBackupError('VB_FILE_CHANGED', `${path} ${fault} while it was backed up`, {
    cure: 'stop what writes to it, or back up a snapshot of it',
  });
}

async function faultOf(path: string, handle: FileHandle, before: Stamp): Promise<string | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  if (found === null) return 'vanished';
  const stats = await handle.stat({ bigint: true });
  const now = stats.isBlockDevice() ? await deviceStamp(handle, stats) : fileStamp(stats);
  if ((stats.isBlockDevice() ? found.rdev : found.dev) !== before.device || found.ino !== before.inode) {
    return 'was replaced';
  }
  if (now.size !== before.size) return `changed its size from ${before.size} to ${now.size} bytes`;
  return now.modified === before.modified && now.written === before.written ? null : 'was written to';
}
