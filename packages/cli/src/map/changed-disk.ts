import type { BlockReader, ChangedExtent, ImageReader, MapExtent } from '@vbackup/core';
import { mapJson } from './map-json.js';
import type { MappedDisk } from './mapped-disk.js';

/** What differs between a backup and a newer one, as a map that leaves out what is the same. */
export async function changedImage(from: ImageReader, to: ImageReader): Promise<MappedDisk> {
  const { diffImages } = await import('@vbackup/core/backup/diff');
  return changed([from, to], { size: to.size, extents: (signal) => diffImages({ from, to, signal }) });
}

/** What differs between a backup and a disk as it is now. */
export async function changedDevice(from: ImageReader, to: BlockReader): Promise<MappedDisk> {
  const { diffDevice } = await import('@vbackup/core/backup/diff');
  return changed([from, to], { size: to.size, extents: (signal) => diffDevice({ from, to, signal }) });
}

interface Changes {
  readonly size: number;
  readonly extents: (signal: AbortSignal) => AsyncIterable<ChangedExtent>;
}

function changed(open: readonly AsyncDisposable[], { size, extents }: Changes): MappedDisk {
  return {
    size,
    method: 'comparison',
    fileSystem: null,
    extents: (signal): AsyncIterable<MapExtent> => extents(signal),
    json: (signal) => mapJson(extents(signal), { offsets: false }),
    [Symbol.asyncDispose]: async () => {
      for (const each of open) await each[Symbol.asyncDispose]();
    },
  };
}
