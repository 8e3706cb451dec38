import { setImmediate } from 'node:timers/promises';
import { abortError } from '../errors/index.js';
import { type Extent, endOf } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { Cover } from './cover.js';
import type { MapExtent } from './filemap.js';
import type { Libc } from './libc.js';
import { changed, type MapSource } from './map-source.js';

/** Data ranges that are sought, with two calls each, before the event loop has its turn again. */
const RANGES_PER_SLICE = 500;
/** A slice also ends after this time: over a network each call is a round trip. */
const SLICE_MS = 2;
/** The clock is looked at once per so many ranges. */
const RANGES_PER_CLOCK = 16;

/**
 * By lseek(2), SEEK_DATA and SEEK_HOLE: sees what is dirty without a sync. What is allocated and was never written is a
 * hole.
 */
export async function* seekMap(
  source: MapSource & { readonly libc: Libc },
  range: Extent,
  { signal }: WithSignal,
): AsyncGenerator<readonly MapExtent[], void, undefined> {
  const cover = new Cover(range);
  let at: number | null = range.offset;
  while (at !== null && at < endOf(range)) {
    if (signal?.aborted === true) throw abortError(signal);
    at = seekSlice(source, { offset: at, length: endOf(range) - at }, cover);
    yield cover.take();
    await setImmediate();
  }
  yield cover.end();
}

/** Where the next slice begins; null where no data is left. */
function seekSlice(source: MapSource & { readonly libc: Libc }, range: Extent, cover: Cover): number | null {
  const { libc, file } = source;
  const start = performance.now();
  let at = range.offset;
  for (let ranges = 0; ranges < RANGES_PER_SLICE && at < endOf(range); ranges++) {
    const data = libc.seekData(file, at);
    if (data === null) return null;
    // Only a file that changes under us answers with an offset before the one that was asked for.
    if (data < at) throw changed(source, `data at ${data}, sought from ${at}`);
    if (data >= endOf(range)) return null;
    const hole = libc.seekHole(file, data);
    if (hole === null) throw changed(source, `no end of the data at ${data}`);
    // What was data is a hole by now. One block of it is called data: that is safe, and it goes on from there.
    const end = hole > data ? hole : data + source.blockSize;
    cover.add({ kind: 'data', offset: data, length: end - data });
    at = end;
    if (ranges % RANGES_PER_CLOCK === RANGES_PER_CLOCK - 1 && performance.now() - start > SLICE_MS) break;
  }
  return at;
}
