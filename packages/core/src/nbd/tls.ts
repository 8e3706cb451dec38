import { X509Certificate } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { VBackupError } from '../errors/index.js';
import { addressText } from './address-text.js';
import type { NbdAddress, NbdTls } from './connect-options.js';
import { systemRoots } from './system-roots.js';
import { untrusted } from './tls-error.js';

/** How one connection moves into TLS, and what must hold before a byte is said in it. */
export interface TlsPlan {
  /** Begins the handshake on a socket that is connected. */
  readonly secure: (socket: Socket) => TLSSocket;
  /** @throws VBackupError VB_NBD_CERTIFICATE if the peer is not who it should be */
  readonly verify: (socket: TLSSocket) => void;
}

interface Demands extends Pick<TlsPlan, 'verify'> {
  readonly options: ConnectionOptions;
}

const MINIMUM: ConnectionOptions = { minVersion: 'TLSv1.2' };

/**
 * Turns what the caller demands into options of Node's TLS.
 * @throws VBackupError VB_INVALID_ARGUMENT if a certificate cannot be read, or if nothing says which name to expect
 */
export function planTls(tls: NbdTls, address: NbdAddress): TlsPlan {
  const { options, verify } = demandsOf(tls, address);
  return { secure: (socket) => connect({ ...options, socket }), verify };
}

function demandsOf(tls: NbdTls, address: NbdAddress): Demands {
  if (tls.kind === 'psk') return planPsk(tls);
  return tls.kind === 'pinned' ? planPinned(tls, address) : planX509(tls, address);
}

function planX509(tls: Extract<NbdTls, { kind: 'x509' }>, address: NbdAddress): Demands {
  const hostname = tls.hostname ?? (address.kind === 'tcp' ? address.host : undefined);
  if (hostname === undefined) {
    throw new VBackupError('VB_INVALID_ARGUMENT', `cannot check the certificate on ${addressText(address)}`, {
      cure: 'say which name it must have (tls-hostname)',
    });
  }
  return {
    options: {
      ...MINIMUM,
      ...serverName(hostname),
      ca: tls.ca ?? systemRoots(),
      ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
    },
    verify: (socket) => {
      if (!socket.authorized) throw untrusted(String(socket.authorizationError), socket.authorizationError);
    },
  };
}

/**
 * The handshake proves that the peer has the key of its certificate; that this certificate is the pinned one, byte for
 * byte, is then all that is left to know. Names, issuers and dates say less, and XenServer's often do not match.
 */
function planPinned(tls: Extract<NbdTls, { kind: 'pinned' }>, address: NbdAddress): Demands {
  const pinned = readCertificate(tls.certificate);
  const hostname = tls.hostname ?? (address.kind === 'tcp' ? address.host : undefined);
  return {
    options: {
      ...MINIMUM,
      ...(hostname === undefined ? {} : serverName(hostname)),
      ca: tls.certificate,
      allowPartialTrustChain: true,
      rejectUnauthorized: false,
    },
    verify: (socket) => {
      const leaf = socket.getPeerX509Certificate();
      if (leaf?.raw.equals(pinned.raw) === true) return;
      const seen = leaf === undefined ? 'none' : `sha256 ${leaf.fingerprint256}`;
      throw untrusted(`it shows another certificate (${seen}) than the pinned one (sha256 ${pinned.fingerprint256})`);
    },
  };
}

/** Only the two who know the key can finish the handshake; a server that shows a certificate instead is refused. */
function planPsk(tls: Extract<NbdTls, { kind: 'psk' }>): Demands {
  const refused = untrusted('it shows a certificate where a shared key was agreed on');
  return {
    options: {
      ...MINIMUM,
      ciphers: 'PSK',
      pskCallback: () => ({ psk: tls.key, identity: tls.identity }),
      checkServerIdentity: (_host, certificate) => (certificate.raw === undefined ? undefined : refused),
    },
    verify: (socket) => {
      if (socket.getPeerX509Certificate() !== undefined) throw refused;
    },
  };
}

/** An IP address may not be sent as a server name (RFC 6066); it is checked against the certificate all the same. */
const serverName = (name: string): ConnectionOptions =>
  isIP(name) === 0 ? { servername: name, host: name } : { host: name };

function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new VBackupError('VB_INVALID_ARGUMENT', 'cannot read the pinned certificate', { cause });
  }
}
