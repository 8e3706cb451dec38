import type { IncomingMessage, ServerResponse } from 'node:http';
import { VOID } from '../methods/method.js';
import type { XenObject } from '../model/xen-object.js';
import { XapiFailure } from '../rpc/call.js';
import type { HostState } from '../state.js';
import { runTask } from '../task-run.js';
import { ChunkedBodyDecoder } from './chunked-body.js';
import { openTask, requestedVdi } from './vdi-request.js';

const NAME = 'import_raw_vdi';

/**
 * `PUT /import_raw_vdi`: the answer is 200 before the body was read; whether it went well, only the task tells
 * (xapi, import_raw_vdi.ml).
 */
export async function importRawVdi(
  state: HostState,
  parameters: ReadonlyMap<string, string>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { task, ownTask } = openTask(state, parameters, NAME);
  response.useChunkedEncodingByDefault = false;
  if (request.headers['transfer-encoding'] !== undefined) {
    state.tasks.fail(task, new XapiFailure('INTERNAL_ERROR', 'Cannot handle encoding'));
    response.writeHead(404, { connection: 'close' }).end();
  } else if (!parameters.has('vdi')) {
    state.tasks.fail(task, new XapiFailure('INTERNAL_ERROR', 'neither vdi nor sr_id was given'));
    response.writeHead(400, { connection: 'close' }).end();
  } else {
    response.writeHead(200, { connection: 'close', 'task-id': task.ref }).flushHeaders();
    await runTask(state, task, NAME, async () => {
      await receive(state, parameters, request, task);
      return VOID;
    });
    request.resume();
    response.end();
  }
  if (ownTask) state.db.remove(task);
}

async function receive(
  state: HostState,
  parameters: ReadonlyMap<string, string>,
  request: IncomingMessage,
  task: XenObject,
): Promise<void> {
  const format = parameters.get('format') ?? 'raw';
  if (format !== 'raw') throw new XapiFailure('INTERNAL_ERROR', `this host imports raw only, not ${format}`);
  const vdi = requestedVdi(state, parameters);
  if (vdi.list('VBDs').some((ref) => state.db.get('VBD', ref).flag('currently_attached'))) {
    throw new XapiFailure('VDI_IN_USE', vdi.ref, 'import');
  }
  const decoder = parameters.get('chunked') === 'true' ? new ChunkedBodyDecoder() : new PlainBody();
  const total = Number(request.headers['content-length'] ?? 0);
  let received = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('the body has an encoding');
    if (!state.tasks.isPending(task)) throw new XapiFailure('TASK_CANCELLED', task.ref);
    received += chunk.length;
    for (const { offset, bytes } of decoder.push(chunk)) place(state, vdi, offset, bytes);
    if (total > 0) state.tasks.progress(task, received / total);
  }
  decoder.end();
}

function place(state: HostState, vdi: XenObject, offset: number, bytes: Buffer): void {
  if (offset + bytes.length > vdi.number('virtual_size')) {
    throw new XapiFailure('VDI_IO_ERROR', 'Device I/O errors');
  }
  state.disks.write(vdi, offset, bytes);
}

/** A raw image from its first byte on; it may stop early. */
class PlainBody {
  #offset = 0;

  *push(bytes: Buffer): Generator<{ readonly offset: number; readonly bytes: Buffer }, void, undefined> {
    yield { offset: this.#offset, bytes };
    this.#offset += bytes.length;
  }

  end(): void {
    // Every length is a raw image.
  }
}
