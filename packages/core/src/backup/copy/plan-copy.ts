import { alignOutward, clip, coalesce, complement, type Extent, endOf, splitAt } from '../../extent/index.js';
import type { BlockReader, WithSignal } from '../../hypervisor/index.js';

/** The server is asked about so much of the disk at once; its answer is held in memory. */
const WINDOW_LENGTH = 1024 * 1024 * 1024;

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

/** `extents`, grown to whole units and cut into what must be read and what is known to be zero. Unknown is data. */
export async function* planCopy(options: PlanOptions): AsyncGenerator<PlannedRange> {
  const disk = { offset: 0, length: options.size };
  const wanted = clip(alignOutward(options.extents, options.unit), disk);
  for (const window of splitAt(wanted, WINDOW_LENGTH)) {
    options.signal?.throwIfAborted();
    const data = await dataIn(window, options);
    const zeros = [...complement(data, window)];
    yield* merged(data, zeros);
  }
}

async function dataIn(window: Extent, options: PlanOptions): Promise<readonly Extent[]> {
  const { reader } = options;
  if (reader.allocation === undefined) return [window];
  const data: Extent[] = [];
  let end = window.offset;
  // The tail of a disk may be no multiple of what the server can be asked about.
  const asked = Math.min(reader.size, Math.ceil(endOf(window) / reader.limits.alignment) * reader.limits.alignment);
  const range = { offset: window.offset, length: asked - window.offset };
  for await (const extent of reader.allocation(range, { signal: options.signal })) {
    // What the server left out is unknown.
    if (extent.offset > end) data.push({ offset: end, length: extent.offset - end });
    if (extent.kind === 'data') data.push({ offset: extent.offset, length: extent.length });
    end = Math.max(end, endOf(extent));
  }
  if (end < endOf(window)) data.push({ offset: end, length: endOf(window) - end });
  return [...clip(alignOutward(coalesce(data), options.unit), window)];
}

function* merged(data: readonly Extent[], zeros: readonly Extent[]): Generator<PlannedRange> {
  let next = 0;
  for (const extent of data) {
    for (let zero = zeros[next]; zero !== undefined && zero.offset < extent.offset; zero = zeros[next]) {
      yield { kind: 'zero', offset: zero.offset, length: zero.length };
      next += 1;
    }
    yield { kind: 'data', offset: extent.offset, length: extent.length };
  }
  for (const zero of zeros.slice(next)) yield { kind: 'zero', offset: zero.offset, length: zero.length };
}
