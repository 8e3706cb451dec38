import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { WithSignal } from '../hypervisor/index.js';
import { ignoringMissing } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';
import { imageInfo } from './query-image.js';
import { runQemu } from './run-qemu.js';

/** A persistent dirty bitmap of an image that nobody has open. */
export interface BitmapEdit extends WithSignal {
  readonly path: string;
  /** QEMU's name; a format is never guessed from the content. */
  readonly format: string;
  readonly name: string;
}

/**
 * Adds a dirty bitmap that records every write from now on, with QEMU's own granularity: the image's clusters, 4 KiB to
 * 64 KiB. Once begun it is not stopped by the signal: an edit that is cut off leaves all bitmaps of the image unusable.
 * @throws VBackupError VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_LOCKED, VB_ACCESS_DENIED
 */
export function addBitmap(edit: BitmapEdit): Promise<void> {
  return editBitmap('--add', edit);
}

/**
 * Removes a dirty bitmap, also one that is inconsistent. One that is not there, and an image that is not there, are as good.
 * @throws VBackupError as {@link addBitmap}
 */
export async function removeBitmap(edit: BitmapEdit): Promise<void> {
  const { path, format, name, signal } = edit;
  const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(() => stat(path)));
  if (found === null) return;
  const { bitmaps } = await imageInfo(path, { format, signal });
  if (bitmaps.some((bitmap) => bitmap.name === name)) await editBitmap('--remove', edit);
}

async function editBitmap(operation: '--add' | '--remove', { path, format, name, signal }: BitmapEdit): Promise<void> {
  const args = ['bitmap', operation, '-f', format, '--', resolve(path), name];
  const action = `cannot ${operation.slice(2)} the dirty bitmap ${name} of ${path}`;
  await runQemu({ program: 'qemu-img', args, action, changesImage: true, signal });
}
