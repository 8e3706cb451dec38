import https from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { VBackupError } from '@vbackup/core/errors';
import { systemRoots } from '@vbackup/core/nbd/system-roots';
import { endpointText, type XapiEndpoint } from './endpoint.js';

/** How a host proves that it is the one the user meant. With neither field: by the roots of the system. */
export interface TlsTrust {
  /** Certificates (PEM) that may sign, or be, the host's. */
  readonly ca?: string | undefined;
  /** SHA-256 of the DER certificates of the pool's hosts, 64 lower-case hex digits each. */
  readonly fingerprints: readonly string[];
}

const HANDSHAKE_TIMEOUT_MS = 30_000;
/** Calls to one host at once; further ones wait. */
const MAXIMUM_SOCKETS = 4;

/**
 * An agent for one endpoint that hands out no socket before its certificate is verified. No TLS session is resumed, for
 * Node skips the verification then; and no other agent shares its sockets.
 */
export class VerifyingAgent extends https.Agent {
  readonly #endpoint: XapiEndpoint;
  readonly #trust: TlsTrust;

  constructor(endpoint: XapiEndpoint, trust: TlsTrust) {
    super({ keepAlive: true, maxSockets: MAXIMUM_SOCKETS, maxCachedSessions: 0 });
    this.#endpoint = endpoint;
    this.#trust = trust;
  }

  override createConnection(
    _options: https.RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const { host, port } = this.#endpoint;
    const socket = tls.connect({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...authorities(this.#trust),
      minVersion: 'TLSv1.2',
      // Verified below, whatever NODE_TLS_REJECT_UNAUTHORIZED says.
      rejectUnauthorized: false,
    });
    const finish = (error: Error | null): void => {
      socket.removeAllListeners('timeout').setTimeout(0).off('error', finish).off('secureConnect', verify);
      if (error !== null) socket.destroy();
      callback?.(error, socket);
    };
    const verify = (): void => {
      try {
        verifyPeer(socket, this.#endpoint, this.#trust);
        finish(null);
      } catch (error) {
        socket.on('error', () => {});
        finish(error instanceof Error ? error : new Error(String(error)));
      }
    };
    socket.once('error', finish);
    socket.once('secureConnect', verify);
    socket.setTimeout(HANDSHAKE_TIMEOUT_MS, () => socket.destroy(handshakeTimeout(this.#endpoint)));
    return undefined;
  }
}

/** What a certificate's chain may end at; a pinned one needs none. */
function authorities({ ca, fingerprints }: TlsTrust): tls.ConnectionOptions {
  if (ca !== undefined) return { ca, allowPartialTrustChain: true };
  return fingerprints.length > 0 ? {} : { ca: systemRoots() };
}

/**
 * A pinned certificate is enough, whatever its name, issuer or dates; with `ca` as well, both must hold.
 * @throws VBackupError VB_XEN_FINGERPRINT_MISMATCH, VB_XEN_CERTIFICATE_UNTRUSTED
 */
function verifyPeer(socket: tls.TLSSocket, endpoint: XapiEndpoint, trust: TlsTrust): void {
  const place = endpointText(endpoint);
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    throw new VBackupError('VB_XEN_CERTIFICATE_UNTRUSTED', `${place} showed no certificate`);
  }
  const seen = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
  const pinned = trust.fingerprints.length > 0;
  if (pinned && !trust.fingerprints.includes(seen)) {
    const expected = trust.fingerprints.map((fingerprint) => `sha256:${fingerprint}`).join(' or ');
    throw new VBackupError(
      'VB_XEN_FINGERPRINT_MISMATCH',
      `${place} showed the certificate sha256:${seen}, not ${expected}`,
      {
        cure: `compare with the host's own (openssl x509 -in /etc/xensource/xapi-ssl.pem -noout -fingerprint -sha256); if it is right, pass it too: --xen-fingerprint ${expected.replaceAll(' or ', ',')},sha256:${seen}`,
      },
    );
  }
  if ((!pinned || trust.ca !== undefined) && !socket.authorized) {
    throw new VBackupError(
      'VB_XEN_CERTIFICATE_UNTRUSTED',
      `the certificate of ${place} cannot be verified (${untrustedBecause(socket)}); its fingerprint is sha256:${seen}`,
      { cure: `if that is the host's own fingerprint, pin it: --xen-fingerprint sha256:${seen}` },
    );
  }
}

function untrustedBecause(socket: tls.TLSSocket): string {
  // Typed as Error, but Node stores the code of OpenSSL's verification, a string.
  const reason: unknown = socket.authorizationError;
  if (reason instanceof Error) return reason.message;
  return typeof reason === 'string' ? reason : 'no reason given';
}

function handshakeTimeout(endpoint: XapiEndpoint): VBackupError {
  return new VBackupError(
    'VB_XEN_TIMEOUT',
    `${endpointText(endpoint)} did not finish the TLS handshake in ${HANDSHAKE_TIMEOUT_MS / 1000} s`,
  );
}
