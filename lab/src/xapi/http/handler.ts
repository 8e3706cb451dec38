import type { IncomingMessage, ServerResponse } from 'node:http';
import { DroppedConnection } from '../dispatcher.js';
import { exportRawVdi } from './export-raw-vdi.js';
import type { HandlerOptions } from './handler-options.js';
import { importRawVdi } from './import-raw-vdi.js';
import { answerRpc, RPC_PATHS } from './rpc-endpoint.js';
import { sendError } from './send-error.js';
import { authorize } from './vdi-request.js';

/** One request of HTTP, whatever it is for. Never rejects. */
export async function handle(
  options: HandlerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    await route(options, request, response);
  } catch (error) {
    // What is left here: the client has gone, or a fault cuts the connection.
    if (error instanceof DroppedConnection || response.headersSent) response.destroy();
    else sendError(response, 500, 'Internal Error');
  }
}

async function route(options: HandlerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'https://localhost');
  // Clients write these paths with and without a slash at the end.
  const path = url.pathname.length > 1 ? url.pathname.replace(/\/$/, '') : url.pathname;
  const kind = `${request.method ?? 'GET'} ${path}`;
  if (request.method === 'POST' && RPC_PATHS.has(path)) {
    return await answerRpc(options, path, request, response);
  }
  if (kind !== 'PUT /import_raw_vdi' && kind !== 'GET /export_raw_vdi') return sendError(response, 404, 'Not Found');
  const { state } = options;
  const parameters = authorize(state, request, url);
  if (parameters === undefined) {
    response.setHeader('www-authenticate', 'Basic realm="XenServer"');
    return sendError(response, 401, 'Unauthorized');
  }
  if (state.faults.redirect !== undefined && options.masterAddress === undefined) {
    response.writeHead(302, { connection: 'close', location: `${state.faults.redirect}${url.pathname}${url.search}` });
    response.end();
  } else if (kind === 'PUT /import_raw_vdi') await importRawVdi(state, parameters, request, response);
  else await exportRawVdi(state, parameters, response);
}
