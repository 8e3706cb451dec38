import { open, stat } from 'node:fs/promises';
import fc from 'fast-check';
import { loadLibc } from '../filemap/load-libc.js';

/** A stretch of a file, as a program could have left it. */
export interface Stretch {
  /** `zeros` are stored; `preallocated` has blocks that were never written; the others are what they say. */
  readonly kind: 'data' | 'zeros' | 'hole' | 'preallocated';
  readonly length: number;
}

/** Layouts of at most about 1.5 MiB: whole blocks and odd lengths, and tails of every kind. */
export const layouts: fc.Arbitrary<readonly Stretch[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('data', 'zeros', 'hole', 'preallocated'),
    length: fc.oneof(
      fc.integer({ min: 1, max: 20_000 }),
      fc.integer({ min: 1, max: 32 }).map((blocks) => blocks * 4096),
      fc.constant(256 * 1024),
    ),
  }),
  { maxLength: 8 },
);

/** Makes a file of these stretches, durable, and returns what it reads as. What exists under the name is replaced. */
export async function makeSparseFile(path: string, layout: readonly Stretch[]): Promise<Buffer> {
  const bytes = Buffer.alloc(layout.reduce((sum, { length }) => sum + length, 0));
  const libc = await loadLibc();
  await using file = await open(path, 'w');
  await file.truncate(bytes.length);
  let offset = 0;
  for (const { kind, length } of layout) {
    const stretch = bytes.subarray(offset, offset + length);
    if (kind === 'data') for (let at = 0; at < length; at++) stretch[at] = 1 + ((offset + at * 7) % 255);
    if (kind === 'data' || kind === 'zeros') await file.write(stretch, 0, length, offset);
    if (kind === 'preallocated') await libc?.fallocate(file, 'allocate', { offset, length });
    offset += length;
  }
  await file.sync();
  return bytes;
}

/** What a file takes on its file system, in units of 512 bytes, as `du` and `st_blocks` count. */
export const blocksOf = async (path: string): Promise<number> => (await stat(path)).blocks;
