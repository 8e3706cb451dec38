import type { X509Certificate } from 'node:crypto';
import type { NbdAddress } from '../connect-options.js';
import { NBD_DEFAULT_MAXIMUM_REQUEST } from '../words.js';
import type { NbdExport } from './export.js';

/** How the server proves who it is, and whom it lets in. */
export type NbdServerTls =
  | {
      readonly kind: 'x509';
      /** PEM of the leaf, followed by what stands between it and the authority. */
      readonly certificate: string;
      readonly key: string;
      /** PEM of the authority that clients' certificates come from. */
      readonly ca?: string | undefined;
      /** Only clients with a certificate of `ca` get in. Default false. */
      readonly requireClientCertificate?: boolean | undefined;
    }
  /** By identity, as `psktool` writes them. */
  | { readonly kind: 'psk'; readonly keys: ReadonlyMap<string, Buffer> };

/** One client's connection, as `open` and `list` see it. */
export interface NbdServerConnection {
  /** Counts the connections of its server, from 0. */
  readonly index: number;
  /** IP address and port; undefined on a unix socket. */
  readonly remote: string | undefined;
  readonly secure: boolean;
  /** What the client proved by a certificate. */
  readonly certificate: X509Certificate | undefined;
  /** What the client proved by a pre-shared key. */
  readonly identity: string | undefined;
  /** Aborted when the connection is over. */
  readonly signal: AbortSignal;
}

export interface NbdExportEntry {
  readonly name: string;
  readonly description?: string | undefined;
}

export interface NbdServerOptions {
  /**
   * Port 0 takes a free one. A unix socket that a dead server left is replaced; one that somebody listens on, or anything
   * that is no socket, is not touched.
   */
  readonly address: NbdAddress;
  /** Permissions of a unix socket, from the first moment that it can be seen. Default 0o600. */
  readonly socketMode?: number | undefined;
  /** Missing: clear text only. */
  readonly tls?: NbdServerTls | undefined;
  /** Nothing is told before TLS. Default true where `tls` is given. */
  readonly tlsRequired?: boolean | undefined;
  /**
   * The export of this name, for this connection alone; null where there is none. The empty name is the default export.
   * VB_ACCESS_DENIED tells the client that it is not allowed; every other error only that it cannot be opened.
   */
  open(name: string, connection: NbdServerConnection): Promise<NbdExport | null>;
  /** What NBD_OPT_LIST answers. Missing: listing is refused. */
  list?(connection: NbdServerConnection): Promise<readonly NbdExportEntry[]>;
  /** A connection beyond is accepted and closed at once. Default 100. */
  readonly maximumConnections?: number | undefined;
  /** From the connection to the first request. Default 60,000. */
  readonly handshakeTimeoutMs?: number | undefined;
  /** How long a client may take no byte of what is sent, or leave a message unfinished. Default 120,000. */
  readonly stallTimeoutMs?: number | undefined;
  /** Beyond `stallTimeoutMs` a message, in either direction, must move at this speed at least. Default 16 KiB. */
  readonly minimumBytesPerSecond?: number | undefined;
  /** How long `close` lets requests finish before it cuts connections. Default 5,000. */
  readonly closeTimeoutMs?: number | undefined;
  /** Longest read or write, in bytes; announced to clients. Default 32 MiB. */
  readonly maximumRequest?: number | undefined;
  /** Per connection; a client that sends more waits. Default 128. */
  readonly maximumRequestsInFlight?: number | undefined;
  /** Bytes of reads, writes and block status per connection; never less than `maximumRequest`. Default 64 MiB. */
  readonly maximumBytesInFlight?: number | undefined;
  /**
   * Bytes of reads, writes and block status of all connections together; one that finds none free waits. Beside them each
   * connection has 256 KiB for one small request of its own. Default 256 MiB.
   */
  readonly maximumTotalBytesInFlight?: number | undefined;
  /** Told once per connection that ended for another reason than the client's wish or `close`. */
  readonly onConnectionError?: ((error: unknown, connection: NbdServerConnection) => void) | undefined;
  /** Told of every request that an export failed, and of every export that could not be opened: clients hear less. */
  readonly onExportError?: ((error: unknown, connection: NbdServerConnection) => void) | undefined;
}

/** What a session may use, every bound filled in. */
export interface NbdServerLimits {
  readonly maximumConnections: number;
  readonly handshakeTimeoutMs: number;
  readonly stallTimeoutMs: number;
  readonly minimumBytesPerSecond: number;
  readonly closeTimeoutMs: number;
  readonly maximumRequest: number;
  readonly maximumRequestsInFlight: number;
  readonly maximumBytesInFlight: number;
  readonly maximumTotalBytesInFlight: number;
}

const DEFAULT_MAXIMUM_CONNECTIONS = 100;
const DEFAULT_HANDSHAKE_TIMEOUT_MS = 60_000;
const DEFAULT_STALL_TIMEOUT_MS = 120_000;
const DEFAULT_MINIMUM_BYTES_PER_SECOND = 16 * 1024;
const DEFAULT_CLOSE_TIMEOUT_MS = 5_000;
const DEFAULT_REQUESTS_IN_FLIGHT = 128;
const DEFAULT_BYTES_IN_FLIGHT = 64 * 1024 * 1024;
const DEFAULT_TOTAL_BYTES_IN_FLIGHT = 256 * 1024 * 1024;

export function limitsOf(options: NbdServerOptions): NbdServerLimits {
  const maximumRequest = options.maximumRequest ?? NBD_DEFAULT_MAXIMUM_REQUEST;
  return {
    maximumConnections: options.maximumConnections ?? DEFAULT_MAXIMUM_CONNECTIONS,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? DEFAULT_HANDSHAKE_TIMEOUT_MS,
    stallTimeoutMs: options.stallTimeoutMs ?? DEFAULT_STALL_TIMEOUT_MS,
    minimumBytesPerSecond: options.minimumBytesPerSecond ?? DEFAULT_MINIMUM_BYTES_PER_SECOND,
    closeTimeoutMs: options.closeTimeoutMs ?? DEFAULT_CLOSE_TIMEOUT_MS,
    maximumRequest,
    maximumRequestsInFlight: options.maximumRequestsInFlight ?? DEFAULT_REQUESTS_IN_FLIGHT,
    maximumBytesInFlight: Math.max(options.maximumBytesInFlight ?? DEFAULT_BYTES_IN_FLIGHT, maximumRequest),
    maximumTotalBytesInFlight: options.maximumTotalBytesInFlight ?? DEFAULT_TOTAL_BYTES_IN_FLIGHT,
  };
}
