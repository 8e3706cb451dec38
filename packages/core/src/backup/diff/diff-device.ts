import type { BlockReader, WithSignal } from '../../hypervisor/index.js';
import type { ImageReader } from '../image.js';
import { type ChangedExtent, differingExtents } from './differing-extents.js';
import { unlikeFrames } from './unlike-frames.js';

export interface DiffDeviceOptions extends WithSignal {
  readonly from: ImageReader;
  readonly to: BlockReader;
}

/**
 * Where a device differs from a backup of it, in whole pages of 64 KiB: ascending, neighbours differ in kind. The device
 * is read but for what both say is zero; of the backup, only what the digests of its index do not tell. What the device
 * has grown by was zero.
 */
export function diffDevice({ from, to, signal }: DiffDeviceOptions): AsyncGenerator<ChangedExtent> {
  return differingExtents({ from, to, size: to.size, candidates: unlikeFrames({ from, to, signal }), signal });
}
