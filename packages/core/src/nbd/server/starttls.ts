import type { Socket } from 'node:net';
import tls from 'node:tls';
import { VBackupError } from '../../errors/index.js';

/**
 * The server's side of a TLS handshake on a socket that nobody reads from. A client that is not let in, by certificate
 * or by key, never comes out of here. The handshake is bounded by `options.handshakeTimeout`.
 * @throws VBackupError VB_NBD_SERVER_TLS
 */
export async function startTls(socket: Socket, options: tls.TlsOptions): Promise<tls.TLSSocket> {
  // A TLS server that listens nowhere: handing it the socket is the documented way to upgrade one and have its
  // client's certificate checked.
  const server = tls.createServer({ ...options, allowHalfOpen: true });
  try {
    return await new Promise((resolve, reject) => {
      server.once('secureConnection', resolve);
      server.on('tlsClientError', reject);
      socket.once('close', () => reject(new Error('closed during the handshake')));
      server.emit('connection', socket);
    });
  } catch (cause) {
    socket.destroy();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new VBackupError('VB_NBD_SERVER_TLS', `cannot agree on TLS with the client: ${reason}`, { cause });
  }
}
