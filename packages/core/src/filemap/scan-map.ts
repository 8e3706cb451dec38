import { abortError } from '../errors/index.js';
import { type Extent, endOf } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { zeroRuns } from '../memory/zero-runs.js';
import { readFully } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';
import { Cover } from './cover.js';
import type { MapExtent } from './filemap.js';
import { changed, type MapSource } from './map-source.js';

const READ_LENGTH = 1024 * 1024;
/** Zeros are found in units of the page, which is the block of most file systems. */
const UNIT = 4096;

/** By reading everything: what is zero, in whole pages, is `zero`, for nobody knows whether it is allocated. */
export async function* scanMap(
  source: MapSource,
  range: Extent,
  { signal }: WithSignal,
): AsyncGenerator<readonly MapExtent[], void, undefined> {
  const cover = new Cover(range, 'data');
  const buffer = Buffer.allocUnsafeSlow(READ_LENGTH);
  // Whole pages are read, so that a page is the same whatever range it is found in.
  const end = Math.min(Math.ceil(endOf(range) / UNIT) * UNIT, source.size);
  for (let at = Math.floor(range.offset / UNIT) * UNIT; at < end; ) {
    if (signal?.aborted === true) throw abortError(signal);
    const bytes = buffer.subarray(0, Math.min(READ_LENGTH, end - at));
    const offset = at;
    const filled = await withIo(`cannot read ${source.path} at byte ${at}`, () =>
      readFully(source.file, bytes, offset),
    );
    if (filled < bytes.length) throw changed(source, `it ends at byte ${at + filled}`);
    for (const run of zeroRuns(bytes, { unit: UNIT, shortest: UNIT })) {
      cover.add({ kind: run.kind, offset: at + run.offset, length: run.length });
    }
    yield cover.take();
    at += bytes.length;
  }
  yield cover.end();
}
