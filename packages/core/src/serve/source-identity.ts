import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { withIo } from '../storage/io-error.js';

/**
 * What the bytes of files are, without reading them: by name, length and time of the last change. It is the same where they
 * were moved to, and another when one was written to. A block device has no such time: of it only the name is known.
 */
export async function identityOfFiles(paths: readonly string[]): Promise<string> {
  const files: string[] = [];
  for (const path of paths) {
    const { size, mtime, mtimeNs, rdev } = await withIo(`cannot look at ${path}`, () => stat(path, { bigint: true }));
    if (rdev !== 0n) files.push(`the device ${basename(path)}`);
    else files.push(`${basename(path)}, ${size} bytes, of ${mtime.toISOString()} (${mtimeNs % 1_000_000_000n} ns)`);
  }
  const [only] = files;
  if (only !== undefined && files.length === 1) return only;
  const digest = createHash('sha256').update(files.join('\n')).digest('hex');
  return `${files.length} files with the names, lengths and times ${digest.slice(0, 16)}`;
}
