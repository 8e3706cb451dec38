import { stat } from 'node:fs/promises';
import type { StreamMeta, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { StreamFacts } from './output/events.js';

/**
 * Reads a SparseStream file to its end, which checks its structure as well.
 * @throws ProtocolError VB_SPARSE_…, with the byte where the file is faulty; VBackupError VB_FILE_TYPE, VB_IO
 */
export async function describeStream(path: string, options: WithSignal): Promise<StreamFacts> {
  const { readSparseStream } = await import('@vbackup/core/sparse-stream');
  const found = await stat(path);
  if (found.isDirectory()) throw folderError(path);
  const { size: fileSize } = found;
  const frames = { data: 0, zero: 0 };
  let meta: StreamMeta | undefined;
  let dataLength = 0;
  let zeroLength = 0;
  let storedLength = 0;
  for await (const event of readSparseStream(path, options)) {
    if (event.type === 'meta') meta = event.meta;
    else if (event.type === 'frame') {
      frames.data++;
      dataLength += event.length;
      storedLength += event.storedLength;
    } else if (event.type === 'zero') {
      frames.zero++;
      zeroLength += event.length;
    }
  }
  if (meta === undefined) throw new VBackupError('VB_SPARSE_META', `${path} has no META`);
  return { path, fileSize, ...factsOf(meta), frames, dataLength, zeroLength, storedLength };
}

const folderError = (path: string): VBackupError =>
  new VBackupError('VB_FILE_TYPE', `${path} is a folder`, {
    cure: 'name a SparseStream file in it, such as vda.full.data; vbackup list shows backups',
  });

const factsOf = (
  meta: StreamMeta,
): Omit<StreamFacts, 'path' | 'fileSize' | 'frames' | 'dataLength' | 'zeroLength' | 'storedLength'> => ({
  version: meta.streamVersion,
  disk: meta.diskName,
  diskFormat: meta.diskFormat ?? null,
  virtualSize: meta.virtualSize,
  date: meta.date,
  checkpointName: meta.checkpointName,
  parentCheckpoint: meta.parentCheckpoint === '' ? null : meta.parentCheckpoint,
  incremental: meta.incremental,
  compression: meta.compressed ? 'lz4' : 'none',
  backup: meta.vbackup ?? null,
});
