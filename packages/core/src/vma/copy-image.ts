import { abortError } from '../errors/index.js';
import type { AllocationExtent, Extent } from '../extent/index.js';
import { endOf, splitAt } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { VmaDevice } from './archive.js';
import { type DeviceOutput, SHORT_GAP } from './device-output.js';
import type { VmaImageReader } from './image-reader.js';
import { blockCountOf } from './mask-bitmap.js';
import { VMA_CLUSTER_LENGTH } from './words.js';

/** Read at once; what lies together in the archive comes with one call. */
const WINDOW_LENGTH = 1024 * 1024;

export interface CopyImageOptions extends WithSignal {
  readonly onProgress?: ((device: VmaDevice, done: number) => void) | undefined;
  readonly onCluster?: ((storedBlocks: number) => void) | undefined;
}

/** Copies a device from an archive that is read at any place. Returns the ranges that it lacks. */
export async function copyImage(
  image: VmaImageReader,
  output: DeviceOutput,
  { signal, onProgress, onCluster }: CopyImageOptions,
): Promise<readonly Extent[]> {
  const missing: Extent[] = [];
  const buffer = Buffer.allocUnsafeSlow(Math.min(WINDOW_LENGTH, image.size));
  for (const window of splitAt([{ offset: 0, length: image.size }], WINDOW_LENGTH)) {
    if (signal?.aborted === true) throw abortError(signal);
    const extents = [...image.extents(window)];
    for (const { kind, offset, length } of extents) if (kind === 'hole') missing.push({ offset, length });
    await copyWindow({ image, output, extents, buffer, signal });
    onProgress?.(output.device, endOf(window));
    tellClusters(image, { onCluster }, window);
  }
  return missing;
}

/** Tells of the clusters that begin in a range, as far as the archive has them. */
export function tellClusters(
  image: VmaImageReader,
  { onCluster }: Pick<CopyImageOptions, 'onCluster'>,
  range?: Extent,
): void {
  if (onCluster === undefined) return;
  for (const mask of image.masks(range)) onCluster(blockCountOf(mask));
}

interface Window extends WithSignal {
  readonly image: VmaImageReader;
  readonly output: DeviceOutput;
  readonly extents: readonly AllocationExtent[];
  readonly buffer: Buffer;
}

async function copyWindow({ image, output, extents, buffer, signal }: Window): Promise<void> {
  const data = extents.filter(({ kind }) => kind === 'data');
  const start = data[0]?.offset ?? 0;
  const last = data.at(-1);
  const end = last === undefined ? start : endOf(last);
  const bytes = buffer.subarray(0, end - start);
  if (bytes.length > 0) await image.read(start, bytes, { signal });
  for (const extent of extents) {
    const { offset, length, kind } = extent;
    const isGap = kind === 'zero' && length <= SHORT_GAP && offset > start && endOf(extent) < end;
    if (kind !== 'data' && !isGap) {
      await output.zeros(offset, length);
      continue;
    }
    for (const piece of splitAt([extent], VMA_CLUSTER_LENGTH)) {
      const content = bytes.subarray(piece.offset - start, endOf(piece) - start);
      await (isGap ? output.filled(piece.offset, content) : output.data(piece.offset, content));
    }
  }
}
