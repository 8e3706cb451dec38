import type { FileHandle } from 'node:fs/promises';
import type { Libc } from './libc.js';
import { loadLibc } from './load-libc.js';

/**
 * The length of an open block device in bytes; stat(2) has none. The kernel is asked where it can be (BLKGETSIZE64), else
 * the first offset is sought at which nothing can be read.
 */
export async function deviceSize(file: Pick<FileHandle, 'fd' | 'read'>, libc?: Libc | null): Promise<number> {
  const calls = libc === undefined ? await loadLibc() : libc;
  return calls === null ? probedSize(file) : calls.deviceSize(file);
}

async function probedSize(file: Pick<FileHandle, 'read'>): Promise<number> {
  const byte = Buffer.alloc(1);
  const readable = async (offset: number): Promise<boolean> => (await file.read(byte, 0, 1, offset)).bytesRead === 1;
  if (!(await readable(0))) return 0;
  let low = 0;
  let high = 1;
  while (await readable(high)) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2);
    if (await readable(middle)) low = middle;
    else high = middle;
  }
  return high;
}
