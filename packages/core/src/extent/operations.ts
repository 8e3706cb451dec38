import type { Extent } from './extent.js';

/** Both ends of an extent's range; `end` is exclusive. */
export const endOf = (extent: Extent): number => extent.offset + extent.length;

export interface CoalesceOptions {
  /** Also joins extents that are at most this many bytes apart; what lies between is then included. */
  readonly gap?: number;
}

/**
 * Joins neighbours. The input is ascending by offset and may touch or overlap; the output is ascending and disjoint,
 * and no two of its extents touch.
 */
export function* coalesce(extents: Iterable<Extent>, options: CoalesceOptions = {}): Generator<Extent> {
  const gap = options.gap ?? 0;
  let offset = 0;
  let end = -1;
  for (const extent of extents) {
    if (extent.length <= 0) continue;
    if (end >= 0 && extent.offset <= end + gap) {
      end = Math.max(end, endOf(extent));
      continue;
    }
    if (end >= 0) yield { offset, length: end - offset };
    offset = extent.offset;
    end = endOf(extent);
  }
  if (end >= 0) yield { offset, length: end - offset };
}

/** Cuts everything outside `range` away. */
export function* clip(extents: Iterable<Extent>, range: Extent): Generator<Extent> {
  const limit = endOf(range);
  for (const extent of extents) {
    const offset = Math.max(extent.offset, range.offset);
    const end = Math.min(endOf(extent), limit);
    if (offset < end) yield { offset, length: end - offset };
  }
}

/** What both have. Both inputs are ascending and disjoint, and so is the output. */
export function* intersect(left: Iterable<Extent>, right: Iterable<Extent>): Generator<Extent> {
  const others = right[Symbol.iterator]();
  let other = others.next();
  for (const extent of left) {
    while (!other.done && endOf(other.value) <= extent.offset) other = others.next();
    while (!other.done && other.value.offset < endOf(extent)) {
      const offset = Math.max(extent.offset, other.value.offset);
      const end = Math.min(endOf(extent), endOf(other.value));
      yield { offset, length: end - offset };
      if (endOf(other.value) > endOf(extent)) break;
      other = others.next();
    }
  }
}

/** What `left` has and `right` has not. Both inputs are ascending and disjoint, and so is the output. */
export function* subtract(left: Iterable<Extent>, right: Iterable<Extent>): Generator<Extent> {
  const others = right[Symbol.iterator]();
  let other = others.next();
  for (const extent of left) {
    let offset = extent.offset;
    while (!other.done && endOf(other.value) <= offset) other = others.next();
    while (!other.done && other.value.offset < endOf(extent)) {
      if (other.value.offset > offset) yield { offset, length: other.value.offset - offset };
      offset = endOf(other.value);
      if (offset > endOf(extent)) break;
      other = others.next();
    }
    if (offset < endOf(extent)) yield { offset, length: endOf(extent) - offset };
  }
}

/** What either has. Both inputs are ascending and disjoint; so is the output, and no two of its extents touch. */
export const unite = (left: readonly Extent[], right: readonly Extent[]): readonly Extent[] => [
  ...coalesce([...left, ...right].toSorted((one, other) => one.offset - other.offset)),
];

/** The gaps of `range`: what `extents` (ascending, disjoint) leave of it. */
export const complement = (extents: Iterable<Extent>, range: Extent): Generator<Extent> => subtract([range], extents);

/** Grows every extent outward to multiples of `alignment` and joins what then touches. */
export const alignOutward = (extents: Iterable<Extent>, alignment: number): Generator<Extent> => {
  function* grown(): Generator<Extent> {
    for (const extent of extents) {
      const offset = Math.floor(extent.offset / alignment) * alignment;
      const end = Math.ceil(endOf(extent) / alignment) * alignment;
      yield { offset, length: end - offset };
    }
  }
  return coalesce(grown());
};

/** Cuts extents at every multiple of `length`, so that no piece crosses one. */
export function* splitAt(extents: Iterable<Extent>, length: number): Generator<Extent> {
  for (const extent of extents) {
    let offset = extent.offset;
    while (offset < endOf(extent)) {
      const end = Math.min(endOf(extent), (Math.floor(offset / length) + 1) * length);
      yield { offset, length: end - offset };
      offset = end;
    }
  }
}

export function totalLength(extents: Iterable<Extent>): number {
  let total = 0;
  for (const extent of extents) total += extent.length;
  return total;
}
