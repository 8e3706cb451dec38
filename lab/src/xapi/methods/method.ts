import type { Session } from '../model/sessions.js';
import type { XenValue } from '../rpc/value.js';
import type { HostState } from '../state.js';

/** What a method may use. */
export interface CallContext {
  readonly state: HostState;
  readonly session: Session;
  /** Fires when the client has gone or the host stops. */
  readonly signal: AbortSignal;
}

/** One method of the API, after its session was checked. */
export interface Method {
  /** Parameters without the session: exactly, or at least and at most. */
  readonly params: number | readonly [least: number, most: number];
  readonly run: (context: CallContext, args: readonly XenValue[]) => XenValue | Promise<XenValue>;
}

export type Methods = Readonly<Record<string, Method>>;

/** What a method without a result returns. */
export const VOID = '';
