import type { WithSignal } from '@vbackup/core';
import type { Redactor } from '../redactor.js';
import type { XapiEndpoint } from './endpoint.js';
import type { TlsTrust } from './trust.js';
import type { XapiValue } from './values.js';

export interface CallOptions extends WithSignal {
  /** For the whole call. Default 300,000. */
  readonly timeoutMs?: number | undefined;
  /**
   * The answer can be megabytes of text: use the encoding that is cheap to parse, if the host has it. The answer may
   * then carry integers as numbers instead of decimal strings.
   */
  readonly large?: boolean | undefined;
}

/** One HTTP exchange with a handler of xapi, outside its RPC. Secrets go into cookies, which no server logs. */
export interface HttpRequestOptions extends WithSignal {
  readonly method: 'GET' | 'PUT';
  /** Path and query, without secrets. */
  readonly path: string;
  readonly cookies: Readonly<Record<string, string>>;
  /** Bytes that will be written; for PUT. */
  readonly contentLength?: number | undefined;
  /** Until the status line of the answer, which comes after the disk is plugged. Default 180,000. */
  readonly timeoutMs?: number | undefined;
}

/** The host answered 200. For a PUT that says nothing yet: xapi answers before it reads the body. */
export interface HttpExchange extends AsyncDisposable {
  /** What the host sends. */
  readonly body: AsyncIterable<Buffer>;
  /** Sends a part of the body; settles when the socket takes more. `bytes` is free again by then. */
  write(bytes: Buffer, options?: WithSignal): Promise<void>;
  /** All of the body is sent. */
  end(options?: WithSignal): Promise<void>;
}

/**
 * The way to one XenAPI host. It knows bytes and encodings, no session. Every socket is verified before a byte of ours
 * goes over it.
 */
export interface XapiTransport extends AsyncDisposable {
  readonly endpoint: XapiEndpoint;
  /**
   * One call; the answer is `Value`, its shape unchecked.
   * @throws XenApiError when the host answers with a failure
   * @throws VBackupError VB_XEN_TRANSPORT, VB_XEN_HTTP, VB_XEN_TIMEOUT, VB_XEN_CERTIFICATE_UNTRUSTED, VB_XEN_FINGERPRINT_MISMATCH
   */
  call(method: string, parameters: readonly XapiValue[], options?: CallOptions): Promise<unknown>;
  /** Follows redirects to other hosts of the pool, each verified like the first. */
  http(options: HttpRequestOptions): Promise<HttpExchange>;
}

export interface TransportOptions {
  readonly trust: TlsTrust;
  readonly redactor: Redactor;
}

/** Makes the transport to one host; does not connect yet. */
export type OpenXapiTransport = (endpoint: XapiEndpoint, options: TransportOptions) => XapiTransport;
