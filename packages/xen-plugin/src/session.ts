import { setInterval } from 'node:timers/promises';
import { VBackupError } from '@vbackup/core/errors';
import { shapePath } from '@vbackup/core/errors/shape-fault';
import * as v from 'valibot';
import { isApiError, messageOf } from './errors.js';
import type { Redactor } from './redactor.js';
import { type RetryPlan, retry } from './retry.js';
import { endpointText, type XapiEndpoint } from './transport/endpoint.js';
import type {
  CallOptions,
  HttpExchange,
  HttpRequestOptions,
  OpenXapiTransport,
  XapiTransport,
} from './transport/transport.js';
import type { TlsTrust } from './transport/trust.js';
import type { XapiValue } from './transport/values.js';
import { VERSION } from './version.js';

export interface SessionOptions {
  readonly endpoint: XapiEndpoint;
  readonly user: string;
  readonly password: string;
  readonly trust: TlsTrust;
  readonly redactor: Redactor;
  readonly openTransport: OpenXapiTransport;
  /** How often an idle session is touched; xapi forgets one after a day. Default 600,000. */
  readonly keepAliveMs?: number | undefined;
}

export interface SessionCallOptions extends CallOptions {
  /** Doing it twice is as good as once: tried again when the session or the coordinator changed. Default true. */
  readonly idempotent?: boolean | undefined;
}

/** xapi groups and limits sessions by it (500 each). */
const ORIGINATOR = `vbackup/${VERSION}`;
/** The newest version of the API that vbackup knows; hosts take any. */
const API_VERSION = '2.21';
const MAXIMUM_MASTER_HOPS = 2;
const LOGIN_TIMEOUT_MS = 60_000;
const LOGOUT_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_MS = 600_000;
/** A socket that was kept alive may have been closed by the host; a toolstack that restarts needs some seconds. */
const RECONNECT_PLAN: RetryPlan = { tries: 5, firstPauseMs: 100, longestPauseMs: 5_000 };

/** A session on the coordinator of a pool. It follows the coordinator, and logs in again when it was forgotten. */
export class XenSession implements AsyncDisposable {
  readonly #options: SessionOptions;
  readonly #over = new AbortController();
  #transport: XapiTransport;
  #reference = '';
  #renewal: Promise<void> | null = null;

  /** @throws VBackupError VB_XEN_AUTHENTICATION, and what the transport throws */
  static async login(options: SessionOptions, signal?: AbortSignal): Promise<XenSession> {
    options.redactor.add(options.password, 'password');
    const session = new XenSession(options);
    try {
      await session.#login(signal);
    } catch (error) {
      await session.#transport[Symbol.asyncDispose]();
      throw error;
    }
    session.#keepAlive().catch(() => {});
    return session;
  }

  private constructor(options: SessionOptions) {
    this.#options = options;
    this.#transport = this.#open(options.endpoint);
  }

  get endpoint(): XapiEndpoint {
    return this.#transport.endpoint;
  }

  get redactor(): Redactor {
    return this.#options.redactor;
  }

  /** Calls a method of the API; the session's own reference goes first, and is not part of `parameters`. */
  async call<T>(
    schema: v.GenericSchema<unknown, T>,
    method: string,
    parameters: readonly XapiValue[],
    options: SessionCallOptions = {},
  ): Promise<T> {
    const value = await this.#callAgain(method, parameters, options);
    const parsed = v.safeParse(schema, value);
    if (parsed.success) return parsed.output;
    const where = shapePath(parsed.issues[0]);
    throw new VBackupError(
      'VB_XEN_RESPONSE',
      `the answer to ${method} does not have the shape that XenAPI promises${where === '' ? '' : ` (at ${where})`}`,
    );
  }

  /** An exchange with one of xapi's HTTP handlers, in the name of this session. */
  async http(options: HttpRequestOptions): Promise<HttpExchange> {
    return this.#transport.http({ ...options, cookies: { ...options.cookies, session_id: this.#reference } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    const options = { signal: AbortSignal.timeout(LOGOUT_TIMEOUT_MS), timeoutMs: LOGOUT_TIMEOUT_MS };
    try {
      // A host that is gone, or has forgotten the session, needs no logout.
      await this.#transport.call('session.logout', [this.#reference], options).catch(() => {});
    } finally {
      await this.#transport[Symbol.asyncDispose]();
    }
  }

  /** What may be done twice is tried again after the connection broke, and under a new session. */
  async #callAgain(method: string, parameters: readonly XapiValue[], options: SessionCallOptions): Promise<unknown> {
    const work = (): Promise<unknown> => this.#callOnce(method, parameters, options);
    if (options.idempotent === false) return work();
    return retry(work, isDisconnected, RECONNECT_PLAN, options.signal);
  }

  async #callOnce(method: string, parameters: readonly XapiValue[], options: SessionCallOptions): Promise<unknown> {
    const reference = this.#reference;
    try {
      return await this.#transport.call(method, [reference, ...parameters], options);
    } catch (error) {
      if (!isApiError(error, 'SESSION_INVALID', 'HOST_IS_SLAVE')) throw error;
      if (this.#reference === reference) await this.#renew(options.signal);
      // The host refused before it did anything, but only an idempotent call may rely on that.
      if (options.idempotent === false) throw error;
      return this.#transport.call(method, [this.#reference, ...parameters], options);
    }
  }

  /** Several calls may find the session gone at once; one of them logs in for all. */
  async #renew(signal: AbortSignal | undefined): Promise<void> {
    this.#renewal ??= this.#login(signal).finally(() => {
      this.#renewal = null;
    });
    await this.#renewal;
  }

  async #login(signal: AbortSignal | undefined): Promise<void> {
    const { user, password, redactor } = this.#options;
    for (let hops = 0; ; hops += 1) {
      try {
        const options = { signal, timeoutMs: LOGIN_TIMEOUT_MS };
        const parameters = [user, password, API_VERSION, ORIGINATOR];
        const reference = await this.#transport.call('session.login_with_password', parameters, options);
        this.#reference = v.parse(v.pipe(v.string(), v.minLength(1)), reference);
        redactor.add(this.#reference, 'session');
        return;
      } catch (error) {
        if (!isApiError(error, 'HOST_IS_SLAVE') || hops === MAXIMUM_MASTER_HOPS) throw this.#explain(error, hops);
        await this.#moveTo(error.params[0] ?? '');
      }
    }
  }

  /** A pool member named the coordinator; the way there is verified anew. */
  async #moveTo(address: string): Promise<void> {
    const { port } = this.#options.endpoint;
    const host = address.replace(/^\[(.*)\]$/, '$1');
    const previous = this.#transport;
    this.#transport = this.#open({ host, port });
    await previous[Symbol.asyncDispose]();
  }

  #explain(error: unknown, hops: number): unknown {
    if (hops === 0 || !(error instanceof VBackupError)) return error;
    if (error.code !== 'VB_XEN_FINGERPRINT_MISMATCH' && error.code !== 'VB_XEN_CERTIFICATE_UNTRUSTED') return error;
    const asked = endpointText(this.#options.endpoint);
    return new VBackupError(
      error.code,
      `${asked} is a member of a pool and names ${endpointText(this.endpoint)} as its coordinator, but ${messageOf(error)}`,
      {
        cause: error,
        cure: error.cure ?? 'connect to the coordinator itself, with its own fingerprint',
      },
    );
  }

  #open(endpoint: XapiEndpoint): XapiTransport {
    const { trust, redactor, openTransport } = this.#options;
    return openTransport(endpoint, { trust, redactor });
  }

  async #keepAlive(): Promise<void> {
    const period = this.#options.keepAliveMs ?? KEEP_ALIVE_MS;
    const { signal } = this.#over;
    for await (const _ of setInterval(period, undefined, { signal, ref: false })) {
      // What fails here fails again, with its reason, in the call that needs the session.
      await this.call(v.unknown(), 'session.get_uuid', [this.#reference], { signal }).catch(() => {});
    }
  }
}

function isDisconnected(error: unknown): boolean {
  return error instanceof VBackupError && error.code === 'VB_XEN_TRANSPORT';
}
