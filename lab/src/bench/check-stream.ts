import { open } from 'node:fs/promises';
import { complement, type Extent, SparseStreamFile } from '@vbackup/core';

const MiB = 1024 * 1024;
const ZEROS = Buffer.alloc(MiB);

/** @throws Error unless the SparseStream at `path`, and zeros where it holds nothing, are the disk at `source` */
export async function checkStream(path: string, source: string): Promise<void> {
  await using stream = await SparseStreamFile.open(path);
  await using file = await open(source);
  const { size } = await file.stat();
  const disk = { offset: 0, length: size };
  const held: Extent[] = [];
  const expected = Buffer.alloc(MiB);
  const compare = async (offset: number, bytes: Buffer): Promise<void> => {
    for (let at = 0; at < bytes.length; at += MiB) {
      const piece = bytes.subarray(at, at + MiB);
      const { bytesRead } = await file.read(expected, 0, piece.length, offset + at);
      if (bytesRead === piece.length && piece.equals(expected.subarray(0, piece.length))) continue;
      throw new Error(`${path} differs from ${source} at byte ${offset + at} or behind it`);
    }
  };
  for await (const { offset, bytes } of stream.read(disk)) {
    await compare(offset, bytes);
    held.push({ offset, length: bytes.length });
  }
  for (const { offset, length } of complement(held, disk)) {
    for (let at = 0; at < length; at += MiB) await compare(offset + at, ZEROS.subarray(0, Math.min(MiB, length - at)));
  }
}
