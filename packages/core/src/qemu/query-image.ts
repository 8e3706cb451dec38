import { resolve } from 'node:path';
import type { WithSignal } from '../hypervisor/index.js';
import { type ImageInfo, parseImageInfo } from './image-info.js';
import { runQemu } from './run-qemu.js';

export interface ImageInfoOptions extends WithSignal {
  /** QEMU's name of the format. Without it QEMU guesses from the content, which a guest may have written. */
  readonly format?: string | undefined;
  /** Looks also into an image that a running machine writes to; what it says may be out of date. Default false. */
  readonly inUse?: boolean | undefined;
}

/**
 * Asks `qemu-img info` about one image, not about those that it stands on.
 * @throws VBackupError VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_LOCKED, VB_IMAGE_FORMAT, VB_ACCESS_DENIED
 */
export async function imageInfo(path: string, options: ImageInfoOptions = {}): Promise<ImageInfo> {
  const { format, inUse, signal } = options;
  const given = format === undefined ? [] : ['-f', format];
  // An absolute path is never taken for a protocol such as nbd:.
  const args = ['info', '--output=json', ...given, ...(inUse === true ? ['-U'] : []), '--', resolve(path)];
  const text = await runQemu({ program: 'qemu-img', args, action: `cannot open ${path}`, signal });
  return parseImageInfo(text, path);
}
