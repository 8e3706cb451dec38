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

export interface Survey {
  /** Whole units that did not change, are zero, and hold data in the parent. */
  readonly zeroed: readonly Extent[];
  /** The last unit that did not change and holds data; empty if there is none. */
  readonly last: readonly Extent[];
}

/** Asks a device for the allocation of all of it, once, and reads nothing. */
export async function surveyDisk(options: SurveyOptions): Promise<Survey> {
  const { reader, parent, size, changed, unit, signal } = options;
  const emptied = new ExtentList();
  const lookBelow = (zero: Extent): void => {
    for (const { kind, offset, length } of parent.extents(zero)) if (kind === 'data') emptied.add({ offset, length });
  };
  let lastEnd = 0;
  let end = 0;
  for await (const extent of allocationOf(reader, { offset: 0, length: size }, { signal })) {
    if (extent.kind !== 'data') continue;
    const from = Math.max(end, Math.floor(extent.offset / unit) * unit);
    const until = Math.min(size, Math.ceil(endOf(extent) / unit) * unit);
    if (from > end) lookBelow({ offset: end, length: from - end });
    if (until > from) lastEnd = lastUnchanged({ from, until }, changed) ?? lastEnd;
    end = Math.max(end, until);
  }
  if (end < size) lookBelow({ offset: end, length: size - end });
  const offset = Math.floor((lastEnd - 1) / unit) * unit;
  return {
    zeroed: [...subtract(emptied.extents, changed)],
    last: lastEnd === 0 ? [] : [{ offset, length: lastEnd - offset }],
  };
}

/** Where the last bytes of a range end that did not change; null if all of it changed. */
function lastUnchanged(
  { from, until }: { readonly from: number; readonly until: number },
  changed: readonly Extent[],
): number | null {
  let end = until;
  for (let at = firstFrom(changed, until) - 1; at >= 0 && end > from; at -= 1) {
    const extent = changed[at];
    if (extent === undefined || endOf(extent) < end) return end;
    end = extent.offset;
  }
  return end > from ? end : null;
}

/** The number of the first extent that begins at or behind `offset`. */
function firstFrom(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((extents[middle]?.offset ?? offset) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
