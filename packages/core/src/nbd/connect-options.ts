import type { WithSignal } from '../hypervisor/index.js';

export type NbdAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** How the server proves who it is, and we to it. There is no mode without verification. */
export type NbdTls =
  /** A chain to one of `ca` (PEM; the system's roots where missing) and the name `hostname`. */
  | {
      readonly kind: 'x509';
      readonly ca?: string | undefined;
      readonly hostname?: string | undefined;
      readonly certificate?: string | undefined;
      readonly key?: string | undefined;
    }
  /** Exactly this leaf certificate (PEM), whatever its name, issuer or dates: DER equality. */
  | { readonly kind: 'pinned'; readonly certificate: string; readonly hostname?: string | undefined }
  | { readonly kind: 'psk'; readonly identity: string; readonly key: Buffer };

export interface NbdConnectOptions extends WithSignal {
  readonly address: NbdAddress;
  readonly exportName: string;
  /** The export name is a secret (xapi puts its session token there): it appears in no message. */
  readonly secretExportName?: boolean | undefined;
  /** Given: TLS or an error. Missing: clear text. */
  readonly tls?: NbdTls | undefined;
  /** Connections, opened one after the other; fewer where the server does not allow several. Default 1. */
  readonly connections?: number | undefined;
  /** Several connections are safe although the server does not say so: an immutable snapshot. */
  readonly assumeMultiConn?: boolean | undefined;
  /** Meta contexts to ask for, e.g. `base:allocation`. Default: `base:allocation` alone. */
  readonly metaContexts?: readonly string[] | undefined;
  /** Alignment that the server demands but does not announce (xapi: 512). Default 1 or what is announced. */
  readonly minimumAlignment?: number | undefined;
  /** From the TCP connect to the first request. Default 60,000. */
  readonly handshakeTimeoutMs?: number | undefined;
  /** As `handshakeTimeoutMs`, for each connection beyond the first: those can be done without. Default 10,000. */
  readonly furtherHandshakeTimeoutMs?: number | undefined;
  /** From sending a request to the end of its reply. Default 60,000. */
  readonly requestTimeoutMs?: number | undefined;
  /** How often a lost connection is made again, in a row, before its requests fail. Default 5. */
  readonly reconnects?: number | undefined;
}
