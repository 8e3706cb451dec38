import { type Extent, ExtentList, endOf, subtract } from '../../extent/index.js';
import type { BlockReader, WithSignal } from '../../hypervisor/index.js';
import { allocationOf } from '../diff/cover.js';
import type { ImageReader } from '../image.js';

export interface SurveyOptions extends WithSignal {
  readonly reader: BlockReader;
  readonly parent: ImageReader;
  readonly size: number;
  /** Whole units: ascending and disjoint. */
  readonly changed: readonly Extent[];
  readonly unit: number;
}

/** Of the units that did not change. */
export interface Survey {
  /** Those that are zero, and hold data in the parent. */
  readonly zeroed: readonly Extent[];
  /** Those that the device holds data for. */
  readonly held: readonly Extent[];
}

/** Asks a device for the allocation of all of it, once, and reads nothing. */
export async function surveyDisk(options: SurveyOptions): Promise<Survey> {
  const { reader, parent, size, changed, unit, signal } = options;
  const emptied = new ExtentList();
  const held = new ExtentList();
  const lookBelow = (zero: Extent): void => {
    for (const { kind, offset, length } of parent.extents(zero)) if (kind === 'data') emptied.add({ offset, length });
  };
  let end = 0;
  for await (const extent of allocationOf(reader, { offset: 0, length: size }, { signal })) {
    if (extent.kind !== 'data') continue;
    const from = Math.max(end, Math.floor(extent.offset / unit) * unit);
    const until = Math.min(size, Math.ceil(endOf(extent) / unit) * unit);
    if (from > end) lookBelow({ offset: end, length: from - end });
    if (until > from) held.add({ offset: from, length: until - from });
    end = Math.max(end, until);
  }
  if (end < size) lookBelow({ offset: end, length: size - end });
  return {
    zeroed: [...subtract(emptied.extents, changed)],
    held: [...subtract(held.extents, changed)],
  };
}
