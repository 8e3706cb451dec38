import type { Extent } from '../extent/index.js';
import { systemCode } from '../storage/io-error.js';
import type { Descriptor, Libc } from './libc.js';

/** Beside the bytes that QEMU locks, 100 to 163 and 200 to 263 (block/file-posix.c). */
const CLAIMED: Extent = { offset: 300, length: 1 };

/**
 * Keeps other runs of vbackup from writing to the same file, until `file` is closed. A file system without locks, and a machine
 * for which there is no binding, keep nobody out.
 * @returns false where another one has it
 */
export function claimFile(libc: Libc | null, file: Descriptor): boolean {
  try {
    return libc?.tryLock(file, CLAIMED) ?? true;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return true;
  }
}
