import { open, stat } from 'node:fs/promises';
import type { Output } from './output/output.js';

/** What is done to the bytes of an image as they are, and how to get at the disk in it. */
const WORDS = {
  copy: 'its bytes are copied as they are; qemu-img convert makes a raw disk of it',
  serve: 'its bytes are served as they are; qemu-nbd serves the disk in it',
  compare: 'its bytes are compared, not the disk in it; to compare that, serve it (qemu-nbd -r) and name the NBD URI',
} as const;

/** Says that an image of another format than raw is taken as it is, which may not be what was meant. */
export async function warnOfFormat(
  { name, path }: { readonly name: string; readonly path: string },
  { work, output }: { readonly work: keyof typeof WORDS; readonly output: Output },
): Promise<void> {
  const { IMAGE_HEAD_LENGTH, imageFormatOf } = await import('@vbackup/core/devices');
  const format = imageFormatOf(await headOf(path, IMAGE_HEAD_LENGTH));
  if (format === undefined) return;
  output.warning('VB_IMAGE_FORMAT', `${name} begins like an image of the format ${format}: ${WORDS[work]}`);
}

async function headOf(path: string, length: number): Promise<Buffer> {
  const head = Buffer.alloc(length);
  try {
    // Opening a pipe would wait for its writer.
    const found = await stat(path);
    if (!found.isFile() && !found.isBlockDevice()) return head.subarray(0, 0);
    const file = await open(path, 'r');
    try {
      const { bytesRead } = await file.read(head, 0, length, 0);
      return head.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    // What cannot be opened or read is told by the copy.
    return head.subarray(0, 0);
  }
}
