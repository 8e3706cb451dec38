import { UnsupportedError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { fiemapMap } from './fiemap-map.js';
import type { MapExtent, MapMethod } from './filemap.js';
import type { Libc } from './libc.js';
import type { MapBatches, MapSource } from './map-source.js';
import { qemuImgMap } from './qemu-img-map.js';
import { scanMap } from './scan-map.js';
import { seekMap } from './seek-map.js';

interface Method {
  readonly map: MapBatches;
  /** Tries the method on the beginning of the file. @throws Error that says why it cannot be used */
  readonly probe: (source: MapSource, options: WithSignal) => Promise<void>;
}

/** How much of the file is mapped to see whether a method works. */
const PROBE_LENGTH = 64 * 1024;

/** Maps the beginning, also of an empty file: whether the system answers at all is what is asked. */
const probeWith =
  (map: MapBatches) =>
  async (source: MapSource, options: WithSignal): Promise<void> => {
    const range = { offset: 0, length: Math.max(1, Math.min(PROBE_LENGTH, source.size)) };
    for await (const _batch of map(source, range, options));
  };

const seek = withLibc(seekMap);
const fiemap = withLibc(fiemapMap);

export const METHODS: Readonly<Record<MapMethod, Method>> = {
  seek: { map: seek, probe: probeWith(seek) },
  fiemap: { map: fiemap, probe: probeWith(fiemap) },
  'qemu-img': { map: qemuImgMap, probe: probeWith(qemuImgMap) },
  scan: { map: scanMap, probe: probeWith(scanMap) },
  none: { map: allData, probe: () => Promise.resolve() },
};

/** The order in which `auto` tries what a regular file could be mapped by; `none` always can. */
export const ORDER: readonly MapMethod[] = ['seek', 'fiemap', 'qemu-img', 'scan', 'none'];

async function* allData(_source: MapSource, range: Extent): AsyncGenerator<readonly MapExtent[], void, undefined> {
  yield [{ ...range, kind: 'data' }];
}

function withLibc(
  map: (
    source: MapSource & { readonly libc: Libc },
    range: Extent,
    options: WithSignal,
  ) => AsyncGenerator<readonly MapExtent[], void, undefined>,
): MapBatches {
  return (source, range, options) => {
    if (source.libc === null) {
      throw new UnsupportedError('VB_UNSUPPORTED', 'koffi has no binary for this machine');
    }
    return map({ ...source, libc: source.libc }, range, options);
  };
}
