import type { XenValue } from './value.js';

/** A call as either wire brings it. */
export interface RpcCall {
  readonly method: string;
  readonly params: readonly XenValue[];
}

/** An answer before either wire dresses it; `raw` is how the `system.` methods answer, without an envelope. */
export type RpcReply =
  | { readonly kind: 'raw' | 'success'; readonly value: XenValue }
  | { readonly kind: 'failure'; readonly description: readonly string[] };

/** A XenAPI error: its code and parameters, as `ErrorDescription` carries them. */
export class XapiFailure extends Error {
  readonly description: readonly string[];

  constructor(code: string, ...params: readonly string[]) {
    super(code);
    this.name = 'XapiFailure';
    this.description = [code, ...params];
  }
}

/** The fault of a storage driver as SM reports it through xapi. */
export function backendFailure(fault: number, reason: string): XapiFailure {
  return new XapiFailure(`SR_BACKEND_FAILURE_${fault}`, '', reason, '');
}

/** The ErrorDescription of whatever was thrown. */
export function describeFailure(error: unknown): readonly string[] {
  if (error instanceof XapiFailure) return error.description;
  return ['INTERNAL_ERROR', error instanceof Error ? error.message : String(error)];
}
