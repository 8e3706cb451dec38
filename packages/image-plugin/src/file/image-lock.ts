import type { BigIntStats } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Libc } from '@vbackup/core';
import { loadLibc, SystemCallError } from '@vbackup/core/filemap';
import { deviceNumbers } from './device-numbers.js';

/**
 * QEMU holds a shared lock on one byte of the image for each thing that it does to it: 100 and on for what it does, in
 * the order of its permissions (block/file-posix.c, RAW_LOCK_PERM_BASE; block-common.h, BLK_PERM_…). Readers hold 100.
 */
const LOCKED_BY_WRITERS = [101, 103];
/** `virtlockd` and others lock the beginning, for themselves. */
const LOCKED_BY_OWNERS = 0;

export interface LockQuestion {
  readonly fd: number;
  readonly stats: BigIntStats;
}

/**
 * Whether another process has the image open for writing, and says so with a lock. Asks the kernel (F_OFD_GETLK), and
 * where that cannot be had /proc/locks, which does not know files of btrfs by their devices.
 */
export async function isLockedForWriting(
  question: LockQuestion,
  libc: Promise<Libc | null> = loadLibc(),
): Promise<boolean> {
  const asked = askKernel(await libc, question.fd);
  return asked ?? isListed(await readFile('/proc/locks', 'utf8').catch(() => ''), question.stats);
}

/** Null where the kernel or the file system does not say. */
function askKernel(libc: Libc | null, fd: number): boolean | null {
  if (libc === null) return null;
  const held = (offset: number): 'read' | 'write' | null => libc.lockHeld({ fd }, { offset, length: 1 });
  try {
    return LOCKED_BY_WRITERS.some((offset) => held(offset) !== null) || held(LOCKED_BY_OWNERS) === 'write';
  } catch (error) {
    if (error instanceof SystemCallError) return null;
    throw error;
  }
}

/** `3: OFDLCK ADVISORY  READ -1 fe:00:2146323 100 100`: kind, mode, process, device and inode, first and last byte. */
const LOCK = /^\d+: (?:OFDLCK|POSIX) +\S+ +(READ|WRITE) +-?\d+ ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) (\d+|EOF)$/;

/** @param locks - the text of /proc/locks (proc(5)) */
export function isListed(locks: string, { dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): boolean {
  const { major, minor } = deviceNumbers(dev);
  return locks.split('\n').some((line) => {
    const [, kind, lineMajor = '', lineMinor = '', inode, first = '', last = ''] = LOCK.exec(line) ?? [];
    if (kind === undefined || inode !== String(ino)) return false;
    if (Number.parseInt(lineMajor, 16) !== major || Number.parseInt(lineMinor, 16) !== minor) return false;
    const covers = (offset: number): boolean => Number(first) <= offset && (last === 'EOF' || offset <= Number(last));
    return LOCKED_BY_WRITERS.some(covers) || (kind === 'WRITE' && covers(LOCKED_BY_OWNERS));
  });
}
