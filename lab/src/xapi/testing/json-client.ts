import { Agent, type RequestOptions, request } from 'node:https';
import type { XapiHost } from '../host.js';

/** What came back of one HTTP request. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/** The smallest client: JSON-RPC 2.0 with a session, and plain HTTP, certificate checked. */
export class JsonClient implements Disposable {
  readonly session: string;
  readonly #host: XapiHost;
  readonly #agent: Agent;

  private constructor(host: XapiHost, agent: Agent, session: string) {
    this.#host = host;
    this.#agent = agent;
    this.session = session;
  }

  static async login(host: XapiHost): Promise<JsonClient> {
    const agent = new Agent({ ca: host.certificate, keepAlive: true, maxCachedSessions: 0 });
    const session = await rpc(host, agent, 'session.login_with_password', [host.user, host.password, '1.0', 'lab']);
    if (typeof session !== 'string') throw new TypeError('a session is a string');
    return new JsonClient(host, agent, session);
  }

  /** Calls with the session; failures become errors with `code` and `params`. */
  async call(method: string, ...params: readonly unknown[]): Promise<unknown> {
    return await rpc(this.#host, this.#agent, method, [this.session, ...params]);
  }

  /** As {@link call} where the result is a string. */
  async text(method: string, ...params: readonly unknown[]): Promise<string> {
    const value = await this.call(method, ...params);
    if (typeof value !== 'string') throw new TypeError(`${method} did not answer with a string`);
    return value;
  }

  async http(options: RequestOptions, body?: Buffer): Promise<HttpAnswer> {
    return await http(this.#host, this.#agent, options, body);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

async function rpc(host: XapiHost, agent: Agent, method: string, params: readonly unknown[]): Promise<unknown> {
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));
  const answer = await http(host, agent, { method: 'POST', path: '/jsonrpc' }, body);
  const reply: unknown = JSON.parse(answer.body.toString());
  if (!isObject(reply)) throw new TypeError('not an object');
  const { error } = reply;
  if (!isObject(error)) return reply['result'];
  throw Object.assign(new Error(String(error['message'])), { code: error['message'], params: error['data'] });
}

function http(host: XapiHost, agent: Agent, options: RequestOptions, body?: Buffer): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(new URL(options.path ?? '/', host.url), { ...options, agent }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
