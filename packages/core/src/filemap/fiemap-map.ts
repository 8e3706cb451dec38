import { abortError, VBackupError } from '../errors/index.js';
import { type Extent, endOf } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { Cover } from './cover.js';
import { decodeFiemap, encodeFiemap, FIEMAP_BUFFER_LENGTH, type FiemapExtent } from './fiemap.js';
import { FIEMAP_FLAG_SYNC, meaningOf } from './fiemap-flags.js';
import type { MapExtent } from './filemap.js';
import type { Libc } from './libc.js';
import type { MapSource } from './map-source.js';

/**
 * By ioctl FIEMAP with SYNC, which writes back what is dirty: without it, dirty bytes in preallocated space are called
 * unwritten (ext4, xfs). Unwritten is zero only if nothing wrote to the file meanwhile, else data.
 */
export async function* fiemapMap(
  source: MapSource & { readonly libc: Libc },
  range: Extent,
  { signal }: WithSignal,
): AsyncGenerator<readonly MapExtent[], void, undefined> {
  const cover = new Cover(range);
  const buffer = Buffer.allocUnsafeSlow(FIEMAP_BUFFER_LENGTH);
  let at = range.offset;
  while (at < endOf(range)) {
    if (signal?.aborted === true) throw abortError(signal);
    const before = await writeTime(source);
    encodeFiemap(buffer, { offset: at, length: endOf(range) - at, flags: FIEMAP_FLAG_SYNC });
    await source.libc.fiemap(source.file, buffer);
    const quiet = (await writeTime(source)) === before;
    const extents = decodeFiemap(buffer);
    for (const extent of extents) addExtent(cover, extent, quiet);
    yield cover.take();
    const last = extents.at(-1);
    if (last === undefined || meaningOf(last.flags).last) break;
    if (endOf(last) <= at) {
      throw new VBackupError('VB_FILE_MAP', `FIEMAP of ${source.path} does not get beyond byte ${at}`);
    }
    at = endOf(last);
  }
  yield cover.end();
}

function addExtent(cover: Cover, { offset, length, physical, flags: word }: FiemapExtent, quiet: boolean): void {
  const { kind, flags, placed } = meaningOf(word);
  const place = placed ? physical : undefined;
  cover.add({ offset, length, kind: quiet ? kind : 'data', flags, physical: place });
}

/** Nanoseconds: of the last write, and of the last change of anything else. */
async function writeTime({ file }: MapSource): Promise<string> {
  const { mtimeNs, ctimeNs } = await file.stat({ bigint: true });
  return `${mtimeNs} ${ctimeNs}`;
}
