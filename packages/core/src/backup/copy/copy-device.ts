import { VBackupError } from '../../errors/index.js';
import { withAbortCode } from '../../errors/with-abort-code.js';
import type { BlockReader, OpenTarget, WithSignal } from '../../hypervisor/index.js';
import { copyDisk } from './copy-disk.js';
import { TargetWriter } from './target-writer.js';

export interface CopyDeviceJob extends WithSignal {
  /** The caller closes it. */
  readonly reader: BlockReader;
  readonly openTarget: OpenTarget;
  /** The source, for people. */
  readonly label: string;
  /** Bytes of the disk that are in the target, zeros included; at the end it is the disk's size. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

export interface CopyDeviceSummary {
  readonly size: number;
  /** Bytes that were read. */
  readonly read: number;
  /** Bytes that were written as data; everything else was zero. */
  readonly written: number;
}

/**
 * Copies a whole device to a target. What the source calls zero is not read, zeros in what is read are found in units of
 * 64 KiB, and zeros are written only to a target that does not read as zero by itself. A target that is longer than the
 * source keeps what lies behind it.
 * @throws VBackupError VB_TARGET_TOO_SMALL, VB_ABORTED, and what the reader and the target throw
 */
export function copyDevice(job: CopyDeviceJob): Promise<CopyDeviceSummary> {
  return withAbortCode(job.signal, () => copy(job));
}

async function copy({ reader, openTarget, label, onProgress, signal }: CopyDeviceJob): Promise<CopyDeviceSummary> {
  const { size } = reader;
  const extents = size === 0 ? [] : [{ offset: 0, length: size }];
  await using target = await openTarget({ size, data: extents, label }, { signal });
  if (target.size < size) {
    throw new VBackupError('VB_TARGET_TOO_SMALL', `the target has ${target.size} bytes, ${label} ${size}`);
  }
  await using writer = new TargetWriter({ target, signal });
  const { readLength } = await copyDisk({ reader, writer, size, extents, onProgress, signal });
  const { dataLength } = await writer.finish();
  await target.finish({ signal });
  return { size, read: readLength, written: dataLength };
}
