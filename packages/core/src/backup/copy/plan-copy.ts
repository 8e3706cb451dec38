import { type Extent, endOf } from '../../extent/index.js';
import type { BlockReader, WithSignal } from '../../hypervisor/index.js';
import { askAhead } from '../../memory/ask-ahead.js';

/**
 * The server is asked about so much of the disk at once, and its answer is held in memory, in units. A little less than 2 GiB: one
 * request of NBD.
 */
const WINDOW_LENGTH = 2 ** 31 - 2 ** 20;
/** Questions on their way at once. */
const QUESTIONS_AT_ONCE = 4;
/** Extents this far apart share a question. What lies between them is answered as well, and is not used. */
const WINDOW_GAP = 16 * 1024 * 1024;

/** A range that must be read, or that the server says is zero. */
export interface PlannedRange extends Extent {
  readonly kind: 'data' | 'zero';
}

export interface PlanOptions extends WithSignal {
  readonly reader: BlockReader;
  /** The disk's. */
  readonly size: number;
  /** What must be copied: ascending and disjoint. */
  readonly extents: Iterable<Extent>;
  /** Grows every range outward to multiples of this. */
  readonly unit: number;
}

/**
 * `extents`, grown to whole units and cut into what must be read and what is known to be zero, in windows of neighbours.
 * Unknown is data. Costs an object per range and nothing else: a disk may have a million.
 */
export async function* planCopy(options: PlanOptions): AsyncGenerator<readonly PlannedRange[]> {
  const ask = (window: Bounds, { signal }: WithSignal): Promise<Bounds> => dataIn(window, { ...options, signal });
  const items = windowsOf(options);
  for await (const { item, answer } of askAhead({ items, ask, atOnce: QUESTIONS_AT_ONCE, signal: options.signal })) {
    const ranges: PlannedRange[] = [];
    cut(item, answer, ranges);
    yield ranges;
  }
}

/** Where extents begin and end, in turn: ascending, disjoint, and no two touch. */
class Bounds {
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  get last(): number {
    return this.ends.at(-1) ?? -1;
  }

  /** Joins what touches the last. @param offset - at or behind the start of the last */
  add(offset: number, end: number): void {
    if (this.starts.length > 0 && offset <= this.last) this.ends[this.ends.length - 1] = Math.max(end, this.last);
    else {
      this.starts.push(offset);
      this.ends.push(end);
    }
  }
}

/** Neighbours that the server is asked about at once: a question for each of a million would take longer than their bytes. */
function* windowsOf({ extents, unit, size }: PlanOptions): Generator<Bounds> {
  let window = new Bounds();
  for (const extent of extents) {
    const start = Math.floor(extent.offset / unit) * unit;
    const end = Math.min(size, Math.ceil(endOf(extent) / unit) * unit);
    for (let at = Math.max(start, window.last); at < end; ) {
      const [first = at] = window.starts;
      const limit = Math.floor(first / WINDOW_LENGTH) * WINDOW_LENGTH + WINDOW_LENGTH;
      const isFar = window.starts.length > 0 && (at >= limit || at - window.last > WINDOW_GAP);
      if (isFar) {
        yield window;
        window = new Bounds();
        continue;
      }
      const until = Math.min(end, limit);
      window.add(at, until);
      at = until;
    }
  }
  if (window.starts.length > 0) yield window;
}

async function dataIn(window: Bounds, options: PlanOptions): Promise<Bounds> {
  const { reader, unit } = options;
  const [start = 0] = window.starts;
  const data = new Bounds();
  const grow = (offset: number, end: number): void =>
    data.add(Math.floor(offset / unit) * unit, Math.ceil(end / unit) * unit);
  let end = start;
  if (reader.allocation !== undefined) {
    // The tail of a disk may be no multiple of what the server can be asked about.
    const { alignment } = reader.limits;
    const asked = Math.min(reader.size, Math.ceil(window.last / alignment) * alignment);
    const range = { offset: start, length: asked - start };
    for await (const extent of reader.allocation(range, { signal: options.signal })) {
      // What the server left out is unknown.
      if (extent.offset > end) grow(end, extent.offset);
      if (extent.kind === 'data') grow(extent.offset, endOf(extent));
      end = Math.max(end, endOf(extent));
    }
  }
  if (end < window.last) grow(end, window.last);
  return data;
}

function cut(window: Bounds, data: Bounds, ranges: PlannedRange[]): void {
  let next = 0;
  for (const [index, start] of window.starts.entries()) {
    const end = window.ends[index] ?? start;
    let at = start;
    for (; next < data.starts.length; next += 1) {
      const from = Math.max(data.starts[next] ?? end, at);
      const until = data.ends[next] ?? end;
      if (from >= end) break;
      if (until <= from) continue;
      if (from > at) ranges.push({ kind: 'zero', offset: at, length: from - at });
      at = Math.min(until, end);
      ranges.push({ kind: 'data', offset: from, length: at - from });
      // What reaches beyond this extent may reach into the next.
      if (until > end) break;
    }
    if (at < end) ranges.push({ kind: 'zero', offset: at, length: end - at });
  }
}
