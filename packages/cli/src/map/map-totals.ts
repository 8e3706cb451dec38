import type { Extent } from '@vbackup/core';

/** How much there is of each kind, in bytes. */
export interface MapTotals {
  readonly data: number;
  readonly zero: number;
  readonly hole: number;
  /** How many extents. */
  readonly extents: number;
}

/** Sums of extents that are not kept. */
export async function totalsOf(
  extents: AsyncIterable<Extent & { readonly kind: 'data' | 'zero' | 'hole' }>,
): Promise<MapTotals> {
  const totals = { data: 0, zero: 0, hole: 0, extents: 0 };
  for await (const { kind, length } of extents) {
    totals[kind] += length;
    totals.extents += 1;
  }
  return totals;
}
