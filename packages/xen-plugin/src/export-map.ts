import type { WithSignal } from '@vbackup/core';
import { ByteQueue } from '@vbackup/core/bytes';
import { UnsupportedError, VBackupError } from '@vbackup/core/errors';
import { type BlockMap, parseBlockMap } from './block-map.js';
import type { XenSession } from './session.js';
import { XenTask } from './task.js';

/** xapi exports no larger disk as VHD. */
const LARGEST_VHD = 2040 * 1024 ** 3;
const MAP_TIMEOUT_MS = 180_000;

const taskOf = (snapshot: string): string => `block map of ${snapshot}`;

/** Forgets what a run that died asked for. @param snapshot - its UUID */
export const forgetBlockMap = (session: XenSession, snapshot: string, options: WithSignal = {}): Promise<void> =>
  XenTask.forget(session, taskOf(snapshot), options);

/**
 * Asks the host which blocks of a snapshot are allocated: NBD cannot tell, but the beginning of a VHD export does. The
 * export is broken off after its table.
 * @throws UnsupportedError VB_XEN_VHD_TOO_LARGE, VBackupError VB_XEN_VHD, and whatever the export meets
 */
export async function fetchBlockMap(
  session: XenSession,
  snapshot: { readonly uuid: string; readonly size: number },
  options: WithSignal = {},
): Promise<BlockMap> {
  if (snapshot.size > LARGEST_VHD) {
    throw new UnsupportedError('VB_XEN_VHD_TOO_LARGE', `a disk of ${snapshot.size} bytes cannot be exported as VHD`);
  }
  const timeout = AbortSignal.timeout(MAP_TIMEOUT_MS);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  await using task = await XenTask.create(session, taskOf(snapshot.uuid), { signal });
  try {
    await using exchange = await session.http({
      method: 'GET',
      path: `/export_raw_vdi?vdi=${snapshot.uuid}&format=vhd`,
      cookies: { task_id: task.reference },
      signal,
    });
    const map = await readMap(exchange.body, signal);
    // Sizes are rounded up to whole blocks at most; anything else is the map of another disk, or of an older state.
    if (map.size >= snapshot.size && map.size - snapshot.size < map.blockLength) return map;
    throw new VBackupError('VB_XEN_VHD', `the VHD export covers ${map.size} bytes of a disk of ${snapshot.size}`);
  } finally {
    await task.cancel();
  }
}

async function readMap(body: AsyncIterable<Buffer>, signal: AbortSignal): Promise<BlockMap> {
  const parser = parseBlockMap();
  const queue = new ByteQueue();
  const chunks = body[Symbol.asyncIterator]();
  const take = async (length: number): Promise<Buffer> => {
    for (;;) {
      const bytes = queue.take(length);
      if (bytes !== undefined) return bytes;
      signal.throwIfAborted();
      const next = await chunks.next();
      if (next.done === true) throw new VBackupError('VB_XEN_VHD', 'the VHD export ends before its table does');
      queue.push(next.value);
    }
  };
  for (let demand = parser.next(); ; ) {
    if (demand.done === true) return demand.value;
    demand = parser.next(await take('read' in demand.value ? demand.value.read : demand.value.skip));
  }
}
