import type { IncomingMessage } from 'node:http';
import type { XenObject } from '../model/xen-object.js';
import { XapiFailure } from '../rpc/call.js';
import type { HostState } from '../state.js';

/** What the raw VDI handlers read from a request: query first, then cookies, then basic authentication. */
export interface VdiRequest {
  readonly task: XenObject;
  /** The client named no task: this one ends with the request. */
  readonly ownTask: boolean;
  readonly parameters: ReadonlyMap<string, string>;
}

/** undefined: nobody that this host knows (401). */
export function authorize(
  state: HostState,
  request: IncomingMessage,
  url: URL,
): ReadonlyMap<string, string> | undefined {
  const parameters = new Map([...cookies(request.headers.cookie ?? ''), ...url.searchParams]);
  const session = parameters.get('session_id');
  if (session !== undefined) return state.sessions.has(session) ? parameters : undefined;
  const { user, password } = state.settings;
  const basic = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return request.headers.authorization === basic ? parameters : undefined;
}

export function openTask(state: HostState, parameters: ReadonlyMap<string, string>, name: string): VdiRequest {
  const ref = parameters.get('task_id');
  if (ref === undefined) return { task: state.tasks.create(name), ownTask: true, parameters };
  return { task: state.db.get('task', ref), ownTask: false, parameters };
}

/**
 * The disk that `vdi` names, by reference or by uuid.
 * @throws XapiFailure HANDLE_INVALID or UUID_INVALID
 */
export function requestedVdi(state: HostState, parameters: ReadonlyMap<string, string>): XenObject {
  const name = parameters.get('vdi');
  if (name === undefined) throw new XapiFailure('INTERNAL_ERROR', 'Missing required query parameter vdi');
  return name.startsWith('OpaqueRef:') ? state.db.get('VDI', name) : state.db.byUuid('VDI', name);
}

/**
 * As xapi reads them (http.ml, parse_cookies): pairs with `;` between if there is one, else with `&`, which is all that
 * older hosts know; a space after the separator belongs to the name.
 */
function cookies(header: string): [string, string][] {
  return header.split(header.includes(';') ? ';' : '&').flatMap((pair): [string, string][] => {
    const at = pair.indexOf('=');
    return at < 0 ? [] : [[decodeURIComponent(pair.slice(0, at)), decodeURIComponent(pair.slice(at + 1))]];
  });
}
