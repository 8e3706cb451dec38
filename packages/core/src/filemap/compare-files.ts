import { VBackupError } from '../errors/index.js';
import { type Extent, splitAt } from '../extent/index.js';
import { readFully } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';
import type { CopyParts } from './copy-parts.js';
import type { CopySource } from './copy-source.js';
import type { CopyTarget } from './copy-target.js';
import { readAhead } from './read-ahead.js';

/** What is compared at once. */
const COMPARE_LENGTH = 512 * 1024;

export interface Comparison extends Pick<CopyParts, 'range' | 'shift' | 'onDone' | 'signal'> {
  readonly source: Pick<CopySource, 'path' | 'read'>;
  readonly target: Pick<CopyTarget, 'path' | 'file'>;
  /** What is compared: of the source, within the range. */
  readonly extents: AsyncIterable<Extent>;
}

/** Reads both sides and compares them. @throws VBackupError VB_COPY_DIFFERS, VB_FILE_SHORT, VB_IO */
export async function compareFiles(comparison: Comparison): Promise<void> {
  const { source, target, range, shift, onDone, signal } = comparison;
  await readAhead<Extent>({
    pieces: shortPieces(comparison.extents),
    slotLength: 2 * COMPARE_LENGTH,
    signal,
    read: async ({ offset, length }, slot) => {
      const [ours, theirs] = [slot.subarray(0, length), slot.subarray(length, 2 * length)];
      const reads = [source.read(offset, ours), readTarget(target, offset + shift, theirs)];
      try {
        await Promise.all(reads);
      } finally {
        // Where one fails the other still writes to the slot, which is not to be released before.
        await Promise.allSettled(reads);
      }
      return slot.subarray(0, 2 * length);
    },
    use: ({ offset, length }, bytes) => {
      const at = firstDifference(bytes.subarray(0, length), bytes.subarray(length));
      if (at !== null) return Promise.reject(differs(comparison, offset + at));
      onDone(offset + length - range.offset);
      return Promise.resolve();
    },
  });
}

/** The whole of a range as one extent. */
export async function* wholeRange(range: Extent): AsyncGenerator<Extent> {
  if (range.length > 0) yield await Promise.resolve(range);
}

async function* shortPieces(extents: AsyncIterable<Extent>): AsyncGenerator<Extent> {
  for await (const extent of extents) yield* splitAt([extent], COMPARE_LENGTH);
}

async function readTarget(target: Comparison['target'], offset: number, bytes: Buffer): Promise<void> {
  const what = `cannot read ${target.path} at byte ${offset}`;
  const filled = await withIo(what, () => readFully(target.file, bytes, offset));
  if (filled < bytes.length) throw new VBackupError('VB_FILE_SHORT', `${target.path} ends at byte ${offset + filled}`);
}

function firstDifference(left: Buffer, right: Buffer): number | null {
  if (left.equals(right)) return null;
  return left.findIndex((byte, index) => byte !== right[index]);
}

function differs({ source, target, shift }: Comparison, offset: number): VBackupError {
  const places = shift === 0 ? `byte ${offset}` : `byte ${offset} of the source, ${offset + shift} of the target`;
  const message = `${target.path} differs from ${source.path} at ${places}`;
  return new VBackupError('VB_COPY_DIFFERS', message, { cure: 'check memory and storage, then copy again' });
}
