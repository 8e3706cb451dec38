import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { imageDataEnd } from '@vbackup/core/qemu';
import { formatName } from './choose-format.js';
import type { ImageFormat } from './image-header.js';

/** The last cluster may end early, and none is longer (interop/qcow2.txt, `cluster_bits`; VDI has 1 MiB, VMDK 64 KiB). */
const LONGEST_CLUSTER = 2 * 1024 * 1024;

export interface WholeQuestion extends WithSignal {
  readonly path: string;
  readonly format: ImageFormat;
  /** Bytes of the file. */
  readonly size: number;
}

/**
 * Refuses an image that was cut off, or not copied to its end: QEMU would read zeros where its data is missing.
 * @throws VBackupError VB_IMAGE_FORMAT, and what {@link imageDataEnd} throws
 */
export async function checkWhole({ path, format, size, signal }: WholeQuestion): Promise<void> {
  const end = await imageDataEnd(path, { format, signal });
  if (end - size < LONGEST_CLUSTER) return;
  throw new VBackupError('VB_IMAGE_FORMAT', `${path} is cut off: it has ${size} bytes, and its data ends at ${end}`, {
    cure: `copy the image again; to back up the ${formatName(format)} file as it is, give --file-format raw`,
  });
}
