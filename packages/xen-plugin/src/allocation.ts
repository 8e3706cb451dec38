import type { AllocationExtent, BlockReader, Extent, WithSignal } from '@vbackup/core';
import { alignOutward, clip, coalesce, endOf } from '@vbackup/core/extent';
import type { BlockMap } from './block-map.js';

/** Whoever reads an increment may round it to blocks of up to this length. */
const ROUNDING = 1024 * 1024;

export interface AllocationSource {
  /** What an increment reads; null where the whole disk is read. */
  readonly changed: readonly Extent[] | null;
  /** Asks the host; null where it cannot tell. */
  readonly fetch: (options: WithSignal) => Promise<BlockMap | null>;
}

/**
 * The same reader, that also tells which parts hold data. To ask the host costs an export, so it is asked only once,
 * and only when something beyond the changed extents is wanted: in an increment nearly all that changed is data.
 */
export function withAllocation(reader: BlockReader, source: AllocationSource): BlockReader {
  const changed = source.changed === null ? [] : [...coalesce(alignOutward(source.changed, ROUNDING))];
  const readAll: BlockReader['readAll'] = async (pieces, options) => reader.readAll?.(pieces, options);
  let map: Promise<BlockMap | null> | undefined;
  return {
    size: reader.size,
    limits: reader.limits,
    read: (offset, target, options) => reader.read(offset, target, options),
    ...(reader.readAll === undefined ? {} : { readAll }),
    async *allocation(range: Extent, options: WithSignal = {}): AsyncGenerator<AllocationExtent> {
      if (map === undefined && !covers(changed, range)) map = source.fetch(options);
      yield* allocationOf(map === undefined ? null : await map, range);
    },
    [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
  };
}

/** Data and holes of `range`, ascending and without gaps; what the map does not cover is data. */
export function* allocationOf(map: BlockMap | null, range: Extent): Generator<AllocationExtent> {
  let position = range.offset;
  const known = map === null ? range.offset : Math.min(map.size, endOf(range));
  for (const extent of map === null ? [] : clip(allocatedFrom(map, range.offset), range)) {
    if (extent.offset > position) yield { offset: position, length: extent.offset - position, kind: 'hole' };
    yield { ...extent, kind: 'data' };
    position = endOf(extent);
  }
  if (position < known) {
    yield { offset: position, length: known - position, kind: 'hole' };
    position = known;
  }
  if (position < endOf(range)) yield { offset: position, length: endOf(range) - position, kind: 'data' };
}

/** The allocated extents, from the last one that begins at or before `offset`. */
function* allocatedFrom({ allocated }: BlockMap, offset: number): Generator<Extent> {
  for (let index = Math.max(lastAtOrBefore(allocated, offset), 0); ; index += 1) {
    const extent = allocated[index];
    if (extent === undefined) return;
    yield extent;
  }
}

/** Whether one of the extents, which are ascending and do not touch, holds the whole of `range`. */
function covers(extents: readonly Extent[], range: Extent): boolean {
  const extent = extents[lastAtOrBefore(extents, range.offset)];
  return extent !== undefined && endOf(extent) >= endOf(range);
}

/** -1 if all begin after `offset`. */
function lastAtOrBefore(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const extent = extents[middle];
    if (extent !== undefined && extent.offset <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
