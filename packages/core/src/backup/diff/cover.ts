import { type AllocationExtent, type Extent, endOf } from '../../extent/index.js';
import type { BlockReader, WithSignal } from '../../hypervisor/index.js';
import { overlaps } from './overlaps.js';

/** Pieces of two covers of which at least one may hold data. */
export async function* notZero(
  left: AsyncIterable<AllocationExtent>,
  right: AsyncIterable<AllocationExtent>,
): AsyncGenerator<Extent> {
  for await (const piece of overlaps(left, right)) {
    if (piece.left.kind === 'data' || piece.right.kind === 'data') yield { offset: piece.offset, length: piece.length };
  }
}

/** What the device says of a range; what it leaves out, or does not know, is data. */
export function allocationOf(
  device: BlockReader,
  range: Extent,
  options: WithSignal,
): AsyncGenerator<AllocationExtent> {
  if (range.length === 0) return covered([], range, 'data');
  const { alignment } = device.limits;
  const asked = Math.min(device.size, Math.ceil(endOf(range) / alignment) * alignment) - range.offset;
  const told = device.allocation?.({ offset: range.offset, length: asked }, options) ?? [];
  return covered(told, range, 'data');
}

/** A complete cover of `range` out of extents that may have gaps and reach beyond it. */
async function* covered(
  extents: Iterable<AllocationExtent> | AsyncIterable<AllocationExtent>,
  range: Extent,
  missing: AllocationExtent['kind'],
): AsyncGenerator<AllocationExtent> {
  let end = range.offset;
  for await (const { offset, length, kind } of extents) {
    const from = Math.max(Math.min(offset, endOf(range)), end);
    const until = Math.min(offset + length, endOf(range));
    if (from > end) yield { kind: missing, offset: end, length: from - end };
    end = from;
    if (until > from) yield { kind, offset: from, length: until - from };
    end = Math.max(end, until);
  }
  if (end < endOf(range)) yield { kind: missing, offset: end, length: endOf(range) - end };
}
