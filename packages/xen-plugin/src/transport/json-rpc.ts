import type { IncomingMessage } from 'node:http';
import type { Agent, RequestOptions } from 'node:https';
import https from 'node:https';
import { UnsupportedError, VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';
import { apiError } from '../errors.js';
import { type FaultContext, transportFault } from './faults.js';
import { toJson, type XapiValue } from './values.js';

/** A bitmap of 16 TiB is 45 MB of base64; nothing else comes near. */
const LONGEST_ANSWER = 128 * 1024 * 1024;

/** JSON-RPC 2.0 as xapi speaks it: `message` is the error's code, `data` its parameters. */
const EnvelopeSchema = v.union([
  v.object({ result: v.unknown(), error: v.optional(v.undefined()) }),
  v.object({ error: v.object({ message: v.string(), data: v.optional(v.array(v.string())) }) }),
]);

/**
 * One call over xapi's `/jsonrpc`.
 * @throws UnsupportedError VB_XEN_NO_JSON_RPC on a host that does not have it
 */
export async function callJsonRpc(
  agent: Agent,
  method: string,
  parameters: readonly XapiValue[],
  context: FaultContext,
): Promise<unknown> {
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', method, params: parameters.map(toJson), id: 1 }));
  const timeout = AbortSignal.timeout(context.timeoutMs);
  const signal = context.signal === undefined ? timeout : AbortSignal.any([context.signal, timeout]);
  const text = await post(body, { agent, signal }, context).catch((error: unknown) => {
    throw transportFault(error, context);
  });
  const envelope = v.safeParse(EnvelopeSchema, parse(text, context));
  if (!envelope.success) {
    throw new VBackupError('VB_XEN_RESPONSE', `the answer to ${context.what} is not JSON-RPC`);
  }
  const { error } = envelope.output;
  if (error !== undefined) throw apiError(method, [error.message, ...(error.data ?? [])], context.redactor);
  return 'result' in envelope.output ? envelope.output.result : undefined;
}

async function post(body: Buffer, options: RequestOptions, context: FaultContext): Promise<string> {
  const { host, port } = context.endpoint;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    https
      .request({
        ...options,
        host,
        port,
        path: '/jsonrpc',
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Accept: 'application/json', 'Content-Length': body.length },
      })
      .once('response', resolve)
      .once('error', reject)
      .end(body);
  });
  if (response.statusCode !== 200) {
    response.destroy();
    // A host without it says so in more than one way; if something else is wrong, XML-RPC meets it as well.
    throw unsupported();
  }
  if (!/json/i.test(response.headers['content-type'] ?? '')) {
    response.destroy();
    throw unsupported();
  }
  return readAll(response, context);
}

async function readAll(response: IncomingMessage, context: FaultContext): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    length += chunk.length;
    if (length > LONGEST_ANSWER) {
      throw new VBackupError('VB_XEN_RESPONSE', `the answer to ${context.what} is longer than ${LONGEST_ANSWER} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string, context: FaultContext): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new VBackupError('VB_XEN_RESPONSE', `the answer to ${context.what} is not JSON`);
  }
}

function unsupported(): UnsupportedError {
  return new UnsupportedError('VB_XEN_NO_JSON_RPC', 'the host has no JSON-RPC');
}
