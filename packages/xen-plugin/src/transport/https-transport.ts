import { UnsupportedError, VBackupError } from '@vbackup/core/errors';
import { endpointOf, endpointText, type XapiEndpoint } from './endpoint.js';
import type { FaultContext } from './faults.js';
import { type HttpAnswer, openExchange } from './http.js';
import { callJsonRpc } from './json-rpc.js';
import type { CallOptions, HttpExchange, HttpRequestOptions, TransportOptions, XapiTransport } from './transport.js';
import { VerifyingAgent } from './trust.js';
import type { XapiValue } from './values.js';
import { callXmlRpc } from './xml-rpc.js';

const CALL_TIMEOUT_MS = 300_000;
/** The host plugs the disk before it answers. */
const ANSWER_TIMEOUT_MS = 180_000;
/** The coordinator sends a client to the host that sees the storage; that one has nowhere to send it. */
const MAXIMUM_REDIRECTS = 2;

/** XML-RPC, JSON-RPC and xapi's HTTP handlers over verified HTTPS. */
export class HttpsTransport implements XapiTransport {
  readonly endpoint: XapiEndpoint;
  readonly #options: TransportOptions;
  readonly #agents = new Map<string, VerifyingAgent>();
  #hasJsonRpc = true;

  constructor(endpoint: XapiEndpoint, options: TransportOptions) {
    this.endpoint = endpoint;
    this.#options = options;
  }

  async call(method: string, parameters: readonly XapiValue[], options: CallOptions = {}): Promise<unknown> {
    const context = this.#context(this.endpoint, method, options.signal, options.timeoutMs ?? CALL_TIMEOUT_MS);
    const agent = this.#agent(this.endpoint);
    if (options.large === true && this.#hasJsonRpc) {
      try {
        return await callJsonRpc(agent, method, parameters, context);
      } catch (error) {
        if (!(error instanceof UnsupportedError)) throw error;
        this.#hasJsonRpc = false;
      }
    }
    return callXmlRpc(agent, method, parameters, context);
  }

  async http(options: HttpRequestOptions): Promise<HttpExchange> {
    let endpoint = this.endpoint;
    let path = options.path;
    for (let redirects = 0; redirects <= MAXIMUM_REDIRECTS; redirects += 1) {
      const what = `${options.method} ${path.split('?')[0]}`;
      const context = this.#context(endpoint, what, options.signal, options.timeoutMs ?? ANSWER_TIMEOUT_MS);
      const answer: HttpAnswer = await openExchange(this.#agent(endpoint), { ...options, path }, context);
      if (answer.kind === 'exchange') return answer.exchange;
      endpoint = this.#redirected(answer.location);
      path = `${answer.location.pathname}${answer.location.search}`;
    }
    throw new VBackupError('VB_XEN_HTTP', `${options.method} is redirected more than ${MAXIMUM_REDIRECTS} times`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  #redirected(location: URL): XapiEndpoint {
    if (location.protocol !== 'https:') {
      throw new VBackupError(
        'VB_XEN_HTTP',
        `${endpointText(this.endpoint)} redirects to ${location.protocol}, not https:`,
      );
    }
    return endpointOf(location);
  }

  #agent(endpoint: XapiEndpoint): VerifyingAgent {
    const key = endpointText(endpoint);
    const agent = this.#agents.get(key) ?? new VerifyingAgent(endpoint, this.#options.trust);
    this.#agents.set(key, agent);
    return agent;
  }

  #context(endpoint: XapiEndpoint, what: string, signal: AbortSignal | undefined, timeoutMs: number): FaultContext {
    return { endpoint, what, signal, timeoutMs, redactor: this.#options.redactor };
  }
}
