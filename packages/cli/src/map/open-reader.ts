import type { BlockReader } from '@vbackup/core';
import { checkExists, type Subject } from '../subject.js';

export interface OpenReaderOptions {
  readonly signal: AbortSignal;
  /** For an NBD export; fewer where the server does not allow several. Default 1. */
  readonly connections?: number | undefined;
  readonly onWarning: (warning: { code: string; message: string }) => void;
}

/** Opens a file, a block device or an NBD export to read it. @throws VBackupError VB_FILE_NOT_FOUND, VB_FILE_TYPE, … */
export async function openReader(
  subject: Exclude<Subject, { kind: 'backup' }>,
  { signal, connections, onWarning }: OpenReaderOptions,
): Promise<BlockReader> {
  if (subject.kind === 'nbd') {
    const { NbdClient, loadNbdUri } = await import('@vbackup/core/nbd/device');
    return NbdClient.connect({ ...(await loadNbdUri(subject.name)), connections, signal });
  }
  await checkExists(subject);
  const { openFileReader } = await import('@vbackup/core/filemap');
  return openFileReader(subject.path, { onWarning, signal });
}
