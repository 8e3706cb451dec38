import type { Diagnosis, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { loadNbdUri, NbdClient } from '@vbackup/core/nbd/device';
import type { NbdOptions } from './options.js';

/** Connects to the export of `--nbd-uri` and tells what it can do. Reads nothing. */
export async function* diagnoseExport(
  { uri, dirtyBitmap }: NbdOptions,
  { signal }: WithSignal,
): AsyncGenerator<Diagnosis> {
  if (uri === null) {
    const detail = 'no export was named';
    yield { name: 'export', state: 'warning', detail, cure: 'give --nbd-uri URI to have one looked at' };
    return;
  }
  let client: NbdClient;
  try {
    const contexts = dirtyBitmap === null ? [] : [dirtyBitmap];
    const connect = await loadNbdUri(uri);
    client = await NbdClient.connect({ ...connect, metaContexts: ['base:allocation', ...contexts], signal });
  } catch (error) {
    if (!(error instanceof VBackupError)) throw error;
    yield { name: 'export', state: 'bad', detail: `${error.message} [${error.code}]`, cure: error.cure };
    return;
  }
  await using open = client;
  yield* describe(open, dirtyBitmap);
}

function* describe(
  { size, limits, capabilities, metaContexts }: NbdClient,
  dirtyBitmap: string | null,
): Generator<Diagnosis> {
  const { alignment, maximumRequest } = limits;
  const access = capabilities.readOnly ? 'read-only' : 'writable';
  const units = `in units of ${alignment}, at most ${maximumRequest} at once`;
  yield { name: 'export', state: 'good', detail: `${size} bytes, ${access}, ${units}` };
  yield capabilities.multiConn
    ? { name: 'connections', state: 'good', detail: 'several at once' }
    : { name: 'connections', state: 'good', detail: 'one: the server does not say that several are in step' };
  yield metaContexts.includes('base:allocation')
    ? { name: 'base:allocation', state: 'good', detail: 'the server tells where there is data' }
    : { name: 'base:allocation', state: 'warning', detail: 'not offered: the whole export is read' };
  if (dirtyBitmap === null) return;
  const cure = 'list what the server offers: nbdinfo --json URI';
  yield metaContexts.includes(dirtyBitmap)
    ? { name: dirtyBitmap, state: 'good', detail: 'the server tells what is dirty' }
    : { name: dirtyBitmap, state: 'bad', detail: 'not offered', cure };
}
