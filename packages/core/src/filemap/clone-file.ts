import { ioError, withIo } from '../storage/io-error.js';
import type { CopyParts } from './copy-parts.js';
import { isExhausted, SystemCallError } from './system-call-error.js';

/** Why blocks cannot be shared. */
export interface CloneRefusal {
  readonly reason: string;
  readonly cause?: unknown;
}

/**
 * Makes the target a reflink of the source where that is possible.
 * @returns null, or why it cannot be: then the target is as it was
 * @throws VBackupError VB_FILE_CHANGED where the source has another length by now
 */
export async function cloneFile(parts: CopyParts): Promise<CloneRefusal | null> {
  const { source, target, range, libc } = parts;
  const reason = obstacle(parts);
  if (reason !== null || libc === null) return { reason: reason ?? 'the C library cannot be called here' };
  try {
    await libc.clone({ source: source.file, target: target.file });
  } catch (error) {
    if (isExhausted(error) || !(error instanceof SystemCallError))
      throw ioError(error, `cannot make ${target.path} share the blocks of ${source.path}`);
    return { reason: error.code, cause: error };
  }
  const { size } = await withIo(`cannot look at ${target.path}`, () => target.file.stat());
  if (size !== range.length) throw source.changed();
  return null;
}

function obstacle({ source, target, range, shift, holes }: CopyParts): string | null {
  const isWhole = range.length === source.size && shift === 0;
  if (source.map.isBlockDevice || target.isBlockDevice) return 'a block device has none to share';
  if (!isWhole || !target.isFresh) return 'only the whole of a file can be shared, with a new or emptied one';
  return holes === 'leave' || holes === 'punch' ? null : `the holes are to be another kind (${holes})`;
}
