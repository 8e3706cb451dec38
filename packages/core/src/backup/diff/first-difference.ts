import type { BlockReader, WithSignal } from '../../hypervisor/index.js';
import { PAGE_LENGTH } from '../copy/geometry.js';
import { allocationOf, notZero } from './cover.js';
import { differingExtents } from './differing-extents.js';

export interface FirstDifferenceOptions extends WithSignal {
  readonly left: BlockReader;
  readonly right: BlockReader;
  /** Bytes that are compared, from the start of both. */
  readonly size: number;
  /** Everything before this offset is compared. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** The offset of the first byte in which two devices differ; null if there is none. Zeros on both sides are not read. */
export async function firstDifference(options: FirstDifferenceOptions): Promise<number | null> {
  const { left, right, size, onProgress, signal } = options;
  const range = { offset: 0, length: size };
  const candidates = notZero(allocationOf(left, range, { signal }), allocationOf(right, range, { signal }));
  for await (const { offset } of differingExtents({ from: left, to: right, size, candidates, onProgress, signal })) {
    return (await firstByte(offset, options)) ?? offset;
  }
  return null;
}

/** Reads one page of both once more. */
async function firstByte(offset: number, options: FirstDifferenceOptions): Promise<number | null> {
  const { left, right, size, signal } = options;
  const pageOf = async (device: BlockReader): Promise<Buffer> => {
    const { alignment } = device.limits;
    const end = Math.min(device.size, Math.ceil(Math.min(size, offset + PAGE_LENGTH) / alignment) * alignment);
    const page = Buffer.alloc(Math.max(0, end - offset));
    for (let at = 0; at < page.length; at += device.limits.maximumRequest) {
      await device.read(offset + at, page.subarray(at, at + device.limits.maximumRequest), { signal });
    }
    return page;
  };
  const [one, other] = [await pageOf(left), await pageOf(right)];
  const at = one.findIndex((byte, index) => byte !== (other[index] ?? 0));
  return at < 0 ? null : offset + at;
}
