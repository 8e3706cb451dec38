import type { FileHandle } from 'node:fs/promises';
import { VBackupError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { deviceSize } from './device-size.js';
import type { MapExtent } from './filemap.js';
import type { Libc } from './libc.js';

/** What a method maps: a descriptor that nobody else moves. */
export interface MapSource {
  readonly path: string;
  readonly file: Pick<FileHandle, 'fd' | 'read' | 'stat'>;
  readonly size: number;
  readonly blockSize: number;
  readonly isBlockDevice: boolean;
  readonly libc: Libc | null;
}

/** Finds the extents of `range`, which lies within the source, as a complete cover in pieces of bounded length. */
export type MapBatches = (
  source: MapSource,
  range: Extent,
  options: WithSignal,
) => AsyncGenerator<readonly MapExtent[], void, undefined>;

/** @throws VBackupError VB_FILE_CHANGED unless the source is as long as it was when it was opened */
export async function assertSize(source: MapSource): Promise<void> {
  const size = source.isBlockDevice ? await deviceSize(source.file, source.libc) : (await source.file.stat()).size;
  if (size !== source.size) throw changed(source, `it had ${source.size} bytes, now ${size}`);
}

export function changed(source: MapSource, how: string): VBackupError {
  return new VBackupError('VB_FILE_CHANGED', `${source.path} was written to while it was mapped: ${how}`, {
    cure: 'stop what writes to it, or map a snapshot of it',
  });
}
