import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { IssuedCertificate } from '../pki/index.js';
import { handle } from './http/handler.js';
import type { HandlerOptions } from './http/handler-options.js';

/** As stunnel stands before xapi: TLS 1.2 only. */
const TLS_RULES = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: 'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256',
  ecdhCurve: 'secp384r1',
} as const;
const GRACE_MS = 50;
const KEEP_ALIVE_MS = 60_000;

export interface ListenOptions extends HandlerOptions {
  readonly identity: IssuedCertificate;
  readonly address: string;
  readonly port: number;
}

/** HTTPS at one address of the pool. */
export class HttpsListener implements AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server, address: string, port: number) {
    this.#server = server;
    this.port = port;
    this.url = `https://${address}:${port}`;
  }

  static async listen(options: ListenOptions): Promise<HttpsListener> {
    const { certificate, key } = options.identity;
    const server = createServer(
      { ...TLS_RULES, cert: certificate, key, keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 },
      (request, response) => void handle(options, request, response),
    );
    server.listen(options.port, options.address);
    await once(server, 'listening');
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new TypeError('not listening on a port');
    return new HttpsListener(server, options.address, bound.port);
  }

  /** New connections are shown another certificate. */
  showCertificate({ certificate, key }: IssuedCertificate): void {
    this.#server.setSecureContext({ ...TLS_RULES, cert: certificate, key });
  }

  /** Cuts every connection. */
  cutConnections(): void {
    this.#server.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    // Answers that are on their way may still arrive.
    await once(this.#server, 'close', { signal: AbortSignal.timeout(GRACE_MS) }).catch(() => undefined);
    this.#server.closeAllConnections();
    await closed;
  }
}
