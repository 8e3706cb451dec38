import { once } from 'node:events';
import net from 'node:net';
import { VBackupError } from '../../errors/index.js';
import { systemCode } from '../../storage/io-error.js';
import type { NbdAddress } from '../connect-options.js';
import { enlargeSendBuffer } from './send-buffer.js';
import { listenOnUnixSocket } from './unix-socket.js';

/** A client that vanished without a word holds its export no longer than some minutes. */
const KEEP_ALIVE_MS = 30_000;
/** Whoever runs the server may connect, nobody else. */
const DEFAULT_SOCKET_MODE = 0o600;

/** A server socket that listens, and the address it got. */
export interface Listener {
  readonly server: net.Server;
  readonly address: NbdAddress;
  /** Takes the name of a unix socket away, once its server is closed. */
  release(): Promise<void>;
}

export interface ListenOptions {
  readonly address: NbdAddress;
  readonly socketMode?: number | undefined;
  /** A client that sends no more may still be sent to; whoever has the socket ends it. Default false. */
  readonly halfOpen?: boolean | undefined;
}

/**
 * Listens; `onSocket` gets every socket, with data of both directions held back until it is read.
 * @throws VBackupError VB_NBD_SERVER_LISTEN
 */
export async function listenOn(options: ListenOptions, onSocket: (socket: net.Socket) => void): Promise<Listener> {
  const { address } = options;
  const server = net.createServer(
    {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      allowHalfOpen: options.halfOpen === true,
    },
    (socket) => {
      if (address.kind === 'unix') enlargeSendBuffer(socket);
      onSocket(socket);
    },
  );
  const release = await listen(server, options);
  // Later errors are those of accepting one client, such as too many open files: the next one may get in.
  server.on('error', () => undefined);
  return { server, address: boundAddress(server, address), release };
}

/** @returns what removes the name of a unix socket */
async function listen(server: net.Server, { address, socketMode }: ListenOptions): Promise<() => Promise<void>> {
  try {
    if (address.kind === 'unix') {
      return await listenOnUnixSocket(server, { path: address.path, mode: socketMode ?? DEFAULT_SOCKET_MODE });
    }
    server.listen(address.port, address.host);
    await once(server, 'listening');
    return () => Promise.resolve();
  } catch (cause) {
    if (cause instanceof VBackupError) throw cause;
    throw new VBackupError(
      'VB_NBD_SERVER_LISTEN',
      `cannot listen on ${describeAddress(address)}: ${systemCode(cause) ?? String(cause)}`,
      { cause, cure: 'end the program that holds the address, or name another one' },
    );
  }
}

function boundAddress(server: net.Server, asked: NbdAddress): NbdAddress {
  const bound = server.address();
  if (asked.kind === 'unix' || bound === null || typeof bound === 'string') return asked;
  return { ...asked, port: bound.port };
}

const describeAddress = (address: NbdAddress): string =>
  address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
