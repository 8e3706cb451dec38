import type { Agent } from 'node:https';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';
import xmlrpc from 'xmlrpc';
import { apiError } from '../errors.js';
import { type FaultContext, httpFault, transportFault } from './faults.js';
import { fromXmlRpc, toXmlRpc, type XapiValue } from './values.js';

/** Every answer of xapi is such a struct; faults of XML-RPC are not used. */
const EnvelopeSchema = v.variant('Status', [
  v.object({ Status: v.literal('Success'), Value: v.unknown() }),
  v.object({ Status: v.literal('Failure'), ErrorDescription: v.array(v.string()) }),
]);

/**
 * One call over npm `xmlrpc`. The library has no timeout and one signal per client, so each call has a client of its
 * own; they share the agent's sockets.
 */
export async function callXmlRpc(
  agent: Agent,
  method: string,
  parameters: readonly XapiValue[],
  context: FaultContext,
): Promise<unknown> {
  const timeout = AbortSignal.timeout(context.timeoutMs);
  const signal = context.signal === undefined ? timeout : AbortSignal.any([context.signal, timeout]);
  const { host, port } = context.endpoint;
  const options = { host, port, path: '/', agent, signal };
  const answer = await new Promise<unknown>((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else {
      xmlrpc.createSecureClient(options).methodCall(method, parameters.map(toXmlRpc), (error, value) => {
        // The library passes null or undefined for success, whatever its types say.
        const failure: unknown = error;
        if (failure === null || failure === undefined) resolve(fromXmlRpc(value));
        else reject(faultOf(failure, context));
      });
    }
  }).catch((error: unknown) => {
    throw transportFault(error, context);
  });
  const envelope = v.safeParse(EnvelopeSchema, answer);
  if (!envelope.success) {
    throw new VBackupError('VB_XEN_RESPONSE', `the answer to ${context.what} is not one of XenAPI`);
  }
  if (envelope.output.Status === 'Failure') throw apiError(method, envelope.output.ErrorDescription, context.redactor);
  return envelope.output.Value;
}

/** The library tries to parse the page of an HTTP error as XML; its status says more. */
function faultOf(error: unknown, context: FaultContext): unknown {
  if (typeof error !== 'object' || error === null || !('res' in error)) return error;
  const { res } = error;
  if (typeof res !== 'object' || res === null) return error;
  if ('destroy' in res && typeof res.destroy === 'function') res.destroy();
  const status = 'statusCode' in res && typeof res.statusCode === 'number' ? res.statusCode : 200;
  if (status !== 200) return httpFault(status, context);
  return new VBackupError('VB_XEN_RESPONSE', `the answer to ${context.what} is not XML-RPC`);
}
