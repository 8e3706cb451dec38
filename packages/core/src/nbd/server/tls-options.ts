import type tls from 'node:tls';
import { VBackupError } from '../../errors/index.js';
import type { NbdServerTls } from './server-options.js';

/** Where the handshake writes who the client is. */
export interface TlsIdentity {
  identity: string | undefined;
}

/**
 * Forward secrecy where the client can, plain PSK where it cannot; never the suites without encryption. TLS 1.3 takes
 * a suite whose hash fits the key by itself.
 */
const PSK_CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:kECDHEPSK:kDHEPSK:kPSK:!eNULL:!aNULL';

/**
 * Without an authority of one's own, a certificate of any public one would let its owner in.
 * @throws VBackupError VB_INVALID_ARGUMENT
 */
export function checkTls(how: NbdServerTls): void {
  if (how.kind !== 'x509' || how.requireClientCertificate !== true || how.ca !== undefined) return;
  const cure = "name the authority that clients' certificates come from";
  throw new VBackupError('VB_INVALID_ARGUMENT', 'client certificates are required, but of no authority', { cure });
}

/** The server's side of TLS as node:tls takes it. `found.identity` is set once a pre-shared key was used. */
export function tlsOptionsOf(how: NbdServerTls, found: TlsIdentity): tls.TlsOptions {
  if (how.kind === 'x509') {
    const { certificate, key, ca, requireClientCertificate = false } = how;
    return {
      minVersion: 'TLSv1.2',
      cert: certificate,
      key,
      requestCert: ca !== undefined || requireClientCertificate,
      rejectUnauthorized: requireClientCertificate,
      ...(ca === undefined ? {} : { ca }),
    };
  }
  return {
    minVersion: 'TLSv1.2',
    ciphers: PSK_CIPHERS,
    pskCallback: (_socket, identity) => {
      const key = how.keys.get(identity);
      if (key === undefined) return null;
      found.identity = identity;
      return key;
    },
  };
}
