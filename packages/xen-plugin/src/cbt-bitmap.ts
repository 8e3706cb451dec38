import type { Extent } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';

/** XenAPI, `VDI.list_changed_blocks`: one bit stands for this many bytes of the disk. */
export const CBT_BLOCK_LENGTH = 64 * 1024;
/** How far a bitmap may be padded beyond its last byte and still be understood. */
const LONGEST_PADDING = 7;
/** More than so many are joined across growing gaps: what lies in a gap is then copied as well, and memory is bounded. */
const MAXIMUM_EXTENTS = 1024 * 1024;

/** The base64 text of `VDI.list_changed_blocks` as bytes. @throws VBackupError VB_XEN_BITMAP */
export function decodeBitmap(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  // The decoder skips what is not base64; then something is missing.
  if (text.length % 4 !== 0 || bytes.length !== (text.length / 4) * 3 - padding) {
    throw new VBackupError('VB_XEN_BITMAP', `the list of changed blocks is not base64 (${text.length} characters)`);
  }
  return bytes;
}

/**
 * The changed extents of a disk of `size` bytes: one bit per 64 KiB, most significant bit first; ascending, disjoint,
 * and clipped to the size (the last block may be a part of one).
 *
 * The bitmap's length must fit the size: another granularity, or the bitmap of another disk, would silently lose changes.
 * @throws VBackupError VB_XEN_BITMAP
 */
export function changedExtents(bitmap: Buffer, size: number): readonly Extent[] {
  const blockCount = Math.ceil(size / CBT_BLOCK_LENGTH);
  const expected = Math.ceil(blockCount / 8);
  if (bitmap.length < expected || bitmap.length > expected + LONGEST_PADDING) {
    throw new VBackupError(
      'VB_XEN_BITMAP',
      `the list of changed blocks has ${bitmap.length} bytes where a disk of ${size} bytes needs ${expected}`,
    );
  }
  for (let gap = 0; ; gap = Math.max(gap * 2, 1)) {
    const runs = changedRuns(bitmap, blockCount, gap);
    if (runs !== null) return runs.map(([from, to]) => extentOf(from, to, size));
  }
}

type Run = readonly [from: number, to: number];

/** Runs of changed blocks, joined across gaps of up to `gap` blocks; null if there are more than may be. */
function changedRuns(bitmap: Buffer, blockCount: number, gap: number): readonly Run[] | null {
  const runs: Run[] = [];
  let from = -1;
  let to = -1;
  const mark = (first: number, end: number): void => {
    if (from >= 0 && first <= to + gap) {
      to = end;
      return;
    }
    if (from >= 0) runs.push([from, to]);
    from = first;
    to = end;
  };
  for (let byteIndex = 0; byteIndex * 8 < blockCount; byteIndex += 1) {
    const byte = bitmap[byteIndex] ?? 0xff;
    const first = byteIndex * 8;
    if (byte === 0xff) mark(first, first + 8);
    else if (byte !== 0) {
      for (let bit = 0; bit < 8; bit += 1) if ((byte & (0x80 >> bit)) !== 0) mark(first + bit, first + bit + 1);
    }
    if (runs.length > MAXIMUM_EXTENTS) return null;
  }
  // Bits behind the last block are padding.
  if (from >= 0 && from < blockCount) runs.push([from, Math.min(to, blockCount)]);
  return runs.filter(([first]) => first < blockCount);
}

function extentOf(from: number, to: number, size: number): Extent {
  const offset = from * CBT_BLOCK_LENGTH;
  return { offset, length: Math.min(to * CBT_BLOCK_LENGTH, size) - offset };
}
