import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RpcCall } from '../rpc/call.js';
import { formatJsonReply, type JsonCall, parseJsonCall } from '../rpc/json-rpc.js';
import { formatXmlReply, parseXmlCall } from '../rpc/xml-rpc.js';
import type { HandlerOptions } from './handler-options.js';
import { sendError } from './send-error.js';

/** Larger requests are refused: 300 KiB. */
export const MAX_REQUEST_LENGTH = 300 * 1024;

const JSON_PATH = '/jsonrpc';
export const RPC_PATHS: ReadonlySet<string> = new Set(['/', '/RPC2', '/xmlrpc', JSON_PATH]);

/** A call by XML-RPC, or by JSON-RPC at its own path. What cannot be read gets HTTP 500 and a page of HTML. */
export async function answerRpc(
  options: HandlerOptions,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { jsonRpc } = options.state.faults;
  const body = await bodyOf(request);
  if (path === JSON_PATH && typeof jsonRpc === 'number') return sendError(response, jsonRpc, 'Error');
  if (path === JSON_PATH && jsonRpc === 'xml') {
    return send(response, 'text/xml', formatXmlReply({ kind: 'failure', description: ['INTERNAL_ERROR', 'not XML'] }));
  }
  const call = body === undefined ? undefined : parse(body, path === JSON_PATH);
  if (call === undefined) return sendError(response, 500, 'Internal Error');
  const signal = AbortSignal.any([options.shutdown, goneSignal(response)]);
  const reply = await options.dispatcher.dispatch(call.call, { signal, masterAddress: options.masterAddress });
  if (call.json === undefined) send(response, 'text/xml', formatXmlReply(reply));
  else send(response, 'application/json', formatJsonReply(call.json, reply));
}

interface Parsed {
  readonly call: RpcCall;
  readonly json: JsonCall | undefined;
}

function parse(body: string, asJson: boolean): Parsed | undefined {
  try {
    if (!asJson) return { call: parseXmlCall(body), json: undefined };
    const json = parseJsonCall(body);
    return { call: json, json };
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** undefined: longer than a host takes. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) throw new TypeError('the body has an encoding');
    length += chunk.length;
    if (length <= MAX_REQUEST_LENGTH) chunks.push(chunk);
  }
  return length > MAX_REQUEST_LENGTH ? undefined : Buffer.concat(chunks).toString('utf8');
}

function goneSignal(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  response.once('close', () => controller.abort());
  return controller.signal;
}

function send(response: ServerResponse, type: string, body: string): void {
  response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
