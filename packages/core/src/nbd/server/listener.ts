import { once } from 'node:events';
import net from 'node:net';
import { VBackupError } from '../../errors/index.js';
import type { NbdAddress } from '../connect-options.js';

/** A client that vanished without a word holds its export no longer than some minutes. */
const KEEP_ALIVE_MS = 30_000;

/** A server socket that listens, and the address it got. */
export interface Listener {
  readonly server: net.Server;
  readonly address: NbdAddress;
}

/**
 * Listens; `onSocket` gets every socket, with data of both directions held back until it is read.
 * @throws VBackupError VB_NBD_SERVER_LISTEN
 */
export async function listenOn(address: NbdAddress, onSocket: (socket: net.Socket) => void): Promise<Listener> {
  const server = net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS }, onSocket);
  try {
    if (address.kind === 'unix') server.listen(address.path);
    else server.listen(address.port, address.host);
    await once(server, 'listening');
  } catch (cause) {
    throw new VBackupError('VB_NBD_SERVER_LISTEN', `cannot listen on ${describeAddress(address)}`, { cause });
  }
  // Later errors are those of accepting one client, such as too many open files: the next one may get in.
  server.on('error', () => undefined);
  return { server, address: boundAddress(server, address) };
}

function boundAddress(server: net.Server, asked: NbdAddress): NbdAddress {
  const bound = server.address();
  if (asked.kind === 'unix' || bound === null || typeof bound === 'string') return asked;
  return { ...asked, port: bound.port };
}

const describeAddress = (address: NbdAddress): string =>
  address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
