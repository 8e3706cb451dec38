import { BlockList, isIP } from 'node:net';
import { VBackupError } from '../errors/index.js';
import type { NbdAddress } from '../nbd/connect-options.js';
import type { NbdServerTls } from '../nbd/server/server-options.js';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * Refuses to show disks to a network where nobody proves who they are. A unix socket has its permissions; only processes
 * of this machine reach a loopback address. TLS without client certificates hides bytes from listeners, not from clients.
 * @throws VBackupError VB_SERVE_EXPOSED
 */
export function checkExposure(address: NbdAddress, tls: NbdServerTls | undefined): void {
  if (address.kind === 'unix' || isLoopback(address.host) || provesClients(tls)) return;
  throw new VBackupError(
    'VB_SERVE_EXPOSED',
    `anyone who reaches ${address.host === '' ? 'any address of this machine' : address.host} could read the disks`,
    {
      cure:
        'let clients prove who they are (--tls-psk, or --tls-certificates with a ca-cert.pem), listen on 127.0.0.1 or on a ' +
        '--socket, or accept it with --insecure',
    },
  );
}

/** Whether only who has a key, or a certificate of our authority, gets in. */
export const provesClients = (tls: NbdServerTls | undefined): boolean =>
  tls !== undefined && (tls.kind === 'psk' || tls.requireClientCertificate === true);

/** A name other than `localhost` may mean any address. */
function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const version = isIP(host);
  return version !== 0 && LOOPBACK.check(host, version === 6 ? 'ipv6' : 'ipv4');
}
