import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { VOID } from '../methods/method.js';
import { BLOCK_LENGTH, type BlockMap } from '../model/block-map.js';
import { XapiFailure } from '../rpc/call.js';
import type { HostState } from '../state.js';
import { runTask } from '../task-run.js';
import { openTask, requestedVdi } from './vdi-request.js';
import { vhdOf } from './vhd.js';

const NAME = 'export_raw_vdi';
/** What a host sends behind its 200 when the export fails late. */
const LATE_FAILURE = 'HTTP/1.1 500 Internal Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n';

/** `GET /export_raw_vdi?format=vhd|raw`: without Content-Length, until the connection ends (xapi, export_raw_vdi.ml). */
export async function exportRawVdi(
  state: HostState,
  parameters: ReadonlyMap<string, string>,
  response: ServerResponse,
): Promise<void> {
  const { task, ownTask } = openTask(state, parameters, NAME);
  response.useChunkedEncodingByDefault = false;
  await runTask(state, task, NAME, async () => {
    const vdi = requestedVdi(state, parameters);
    const format = parameters.get('format') ?? 'raw';
    if (parameters.has('base')) throw new XapiFailure('INTERNAL_ERROR', 'this host exports no differences');
    const body = bodyOf(state.disks.content(vdi).snapshot(), format, vdi.uuid);
    response.writeHead(200, { connection: 'close', 'task-id': task.ref, 'content-type': 'application/octet-stream' });
    await pipeline(Readable.from(state.faults.exportBreaks ? [Buffer.from(LATE_FAILURE)] : body), response);
    if (state.faults.exportBreaks) throw new XapiFailure('VDI_IO_ERROR', 'Device I/O errors');
    return VOID;
  });
  if (!response.headersSent) response.writeHead(500, { connection: 'close', 'content-type': 'text/html' });
  response.end();
  if (ownTask) state.db.remove(task);
}

function bodyOf(content: BlockMap, format: string, uuid: string): Iterable<Buffer> {
  if (format === 'vhd') return vhdOf(content, uuid);
  if (format === 'raw') return rawOf(content);
  throw new XapiFailure('INTERNAL_ERROR', `this host exports raw and vhd, not ${format}`);
}

function* rawOf(content: BlockMap): Generator<Buffer, void, undefined> {
  for (let offset = 0; offset < content.size; offset += BLOCK_LENGTH) {
    const block = Buffer.alloc(Math.min(BLOCK_LENGTH, content.size - offset));
    content.read(offset, block);
    yield block;
  }
}
