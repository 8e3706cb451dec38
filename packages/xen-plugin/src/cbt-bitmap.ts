import { coalesce, type Extent, VBackupError } from '@vbackup/core';

/** XenAPI, `VDI.list_changed_blocks`: one bit stands for this many bytes of the disk. */
export const CBT_BLOCK_LENGTH = 64 * 1024;
/** How far a bitmap may be padded beyond its last byte and still be understood. */
const LONGEST_PADDING = 7;

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
  return [...coalesce(changedBlocks(bitmap, blockCount, size))];
}

function* changedBlocks(bitmap: Buffer, blockCount: number, size: number): Generator<Extent> {
  for (let byteIndex = 0; byteIndex * 8 < blockCount; byteIndex += 1) {
    const byte = bitmap[byteIndex] ?? 0xff;
    if (byte === 0) continue;
    for (let bit = 0; bit < 8; bit += 1) {
      const block = byteIndex * 8 + bit;
      if (block >= blockCount) return;
      if ((byte & (0x80 >> bit)) === 0) continue;
      const offset = block * CBT_BLOCK_LENGTH;
      yield { offset, length: Math.min(CBT_BLOCK_LENGTH, size - offset) };
    }
  }
}
