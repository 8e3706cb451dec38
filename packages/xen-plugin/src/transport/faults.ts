import { abortError, VBackupError } from '@vbackup/core/errors';
import { messageOf } from '../errors.js';
import type { Redactor } from '../redactor.js';
import { endpointText, type XapiEndpoint } from './endpoint.js';

export interface FaultContext {
  readonly endpoint: XapiEndpoint;
  /** What was asked, e.g. the method's name. */
  readonly what: string;
  readonly redactor: Redactor;
  /** The caller's own. */
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
}

/**
 * Makes an error of ours from whatever the transport met. The original is not kept as cause: errors of HTTP libraries
 * carry the request, and with it the session's token.
 */
export function transportFault(error: unknown, context: FaultContext): Error {
  if (context.signal?.aborted === true) return abortError(context.signal);
  if (error instanceof VBackupError) return error;
  const place = endpointText(context.endpoint);
  if (isTimeout(error)) {
    return new VBackupError(
      'VB_XEN_TIMEOUT',
      `${place} did not answer ${context.what} within ${context.timeoutMs / 1000} s`,
    );
  }
  const text = context.redactor.clean(messageOf(error)) || (codeOf(error) ?? 'no reason given');
  return new VBackupError('VB_XEN_TRANSPORT', `${place} cannot be asked for ${context.what}: ${text}`, {
    cure: 'check --xen-url, the network and that the toolstack (xapi) runs',
  });
}

/** The host answered, but not with what was asked for. */
export function httpFault(status: number, context: Pick<FaultContext, 'endpoint' | 'what'>): VBackupError {
  return new VBackupError(
    'VB_XEN_HTTP',
    `${endpointText(context.endpoint)} answered ${context.what} with HTTP status ${status}`,
  );
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
