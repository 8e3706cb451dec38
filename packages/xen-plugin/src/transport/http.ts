import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import https, { type Agent } from 'node:https';
import type { WithSignal } from '@vbackup/core';
import { abortError, VBackupError } from '@vbackup/core/errors';
import { type FaultContext, httpFault, transportFault } from './faults.js';
import type { HttpExchange, HttpRequestOptions } from './transport.js';

export type HttpAnswer =
  | { readonly kind: 'exchange'; readonly exchange: HttpExchange }
  /** Ask there instead; nothing of the body was sent. */
  | { readonly kind: 'redirect'; readonly location: URL };

/**
 * Sends the head of a request and waits for the head of the answer, before any body: xapi answers an upload before it
 * reads it, and only then it is known whether this host takes it.
 */
export async function openExchange(
  agent: Agent,
  options: HttpRequestOptions,
  context: FaultContext,
): Promise<HttpAnswer> {
  const { host, port } = context.endpoint;
  const request = https.request({
    agent,
    host,
    port,
    method: options.method,
    path: options.path,
    headers: {
      Cookie: cookieHeader(options.cookies),
      Connection: 'close',
      ...(options.contentLength === undefined ? {} : { 'Content-Length': options.contentLength }),
    },
  });
  // Errors are met where something is waited for; one that comes in between shall not end the process.
  request.on('error', () => {});
  const response = await answerTo(request, options, context);
  const status = response.statusCode ?? 0;
  if (status === 200) return { kind: 'exchange', exchange: new Exchange(request, response, context) };
  response.destroy();
  request.destroy();
  const location = response.headers.location;
  if ([301, 302, 303, 307].includes(status) && location !== undefined && URL.canParse(location)) {
    return { kind: 'redirect', location: new URL(location) };
  }
  throw httpFault(status, context);
}

/**
 * As xapi reads it: older hosts know `&` alone between the pairs, newer ones `;` too, but without the customary space.
 */
function cookieHeader(cookies: HttpRequestOptions['cookies']): string {
  return Object.entries(cookies)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
}

async function answerTo(
  request: ClientRequest,
  options: HttpRequestOptions,
  context: FaultContext,
): Promise<IncomingMessage> {
  const timeout = AbortSignal.timeout(context.timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  try {
    const answered = responseOf(request);
    if (options.contentLength === undefined) request.end();
    else request.flushHeaders();
    return await settled(answered, signal);
  } catch (error) {
    request.destroy();
    throw transportFault(error, context);
  }
}

function responseOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
}

async function settled<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    const stop = (): void => reject(abortError(signal));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  return Promise.race([promise, aborted]);
}

class Exchange implements HttpExchange {
  readonly #request: ClientRequest;
  readonly #response: IncomingMessage;
  readonly #context: FaultContext;

  constructor(request: ClientRequest, response: IncomingMessage, context: FaultContext) {
    this.#request = request;
    this.#response = response;
    this.#context = context;
    response.on('error', () => {});
  }

  get body(): AsyncIterable<Buffer> {
    return this.#read();
  }

  async *#read(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of this.#response) if (Buffer.isBuffer(chunk)) yield chunk;
    } catch (error) {
      throw transportFault(error, this.#context);
    }
  }

  async write(bytes: Buffer, options: WithSignal = {}): Promise<void> {
    await this.#settle(options, (done) => this.#request.write(bytes, done));
  }

  async end(options: WithSignal = {}): Promise<void> {
    await this.#settle(options, (done) => {
      this.#request.once('finish', () => done(null));
      this.#request.end();
    });
  }

  /** The callback of a write comes when the bytes have left; a connection that ends first never calls it. */
  async #settle(options: WithSignal, start: (done: (error?: Error | null) => void) => void): Promise<void> {
    const over = new AbortController();
    const signal = options.signal === undefined ? over.signal : AbortSignal.any([options.signal, over.signal]);
    try {
      if (this.#request.destroyed) throw closedEarly(this.#context);
      const closed = once(this.#request, 'close', { signal }).then(() => {
        throw closedEarly(this.#context);
      });
      const written = new Promise<void>((resolve, reject) => {
        start((error) => (error === null || error === undefined ? resolve() : reject(error)));
      });
      await Promise.race([written, closed]);
    } catch (error) {
      if (options.signal?.aborted === true) throw abortError(options.signal);
      throw transportFault(error, this.#context);
    } finally {
      over.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#response.destroy();
    this.#request.destroy();
  }
}

function closedEarly(context: FaultContext): VBackupError {
  return new VBackupError('VB_XEN_TRANSPORT', `the host closed the connection of ${context.what} early`);
}
