import { once } from 'node:events';
import type net from 'node:net';
import { type Listener, listenOn, type NbdAddress } from '@vbackup/core';
import { XapiNbdSession } from './xapi-nbd-session.js';

/** Which clients the host's networks let in: purpose nbd, purpose insecure_nbd, or neither. */
export type XapiNbdMode = 'forcedtls' | 'notls' | 'refuse';

/** A disk as the host plugs it into its own domain for one connection. */
export interface XapiNbdDisk {
  /** Bytes, a multiple of 512. */
  readonly size: number;
  /** Fills the whole of `target`. A failure cuts the connection, as the real server does. */
  read(offset: number, target: Buffer): Promise<void>;
  /** Called once when the connection is over. */
  close?(): Promise<void>;
}

/** One read that is about to be answered. */
export interface XapiNbdRead {
  readonly exportName: string;
  /** Counts the connections of this server, from 0. */
  readonly connectionIndex: number;
  /** Counts the reads of its connection, from 0. */
  readonly readIndex: number;
  /** Counts the reads of all connections, from 0. */
  readonly totalReadIndex: number;
  readonly offset: number;
  readonly length: number;
}

/** What goes wrong with one read. */
export type XapiNbdFault =
  /** The reply's header and `afterBytes` bytes of data (default 0), then the connection ends. */
  | { readonly kind: 'cut'; readonly afterBytes?: number }
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** The first byte of the answer is not the disk's. */
  | { readonly kind: 'corrupt' }
  /** No answer, ever, and the connection stays open. */
  | { readonly kind: 'stall' };

export interface XapiNbdIdentity {
  /** PEM, RSA: the server speaks two RSA suites of TLS 1.2 only. */
  readonly certificate: string;
  readonly key: string;
}

export interface XapiNbdServerOptions extends XapiNbdIdentity {
  /** Port 0 takes a free one. */
  readonly address: NbdAddress;
  /** Asked anew for every connection where it is a function. */
  readonly mode: XapiNbdMode | (() => XapiNbdMode | Promise<XapiNbdMode>);
  /**
   * Gets the whole export name (`/<vdi uuid>?session_id=OpaqueRef:…`) and may take seconds. Null, or a failure, closes
   * the connection without a word.
   */
  open(exportName: string): Promise<XapiNbdDisk | null>;
  /** Default 16; one more is accepted and closed before the greeting. */
  readonly connectionLimit?: number;
  /** What LIST answers; missing: refused, as xapi does. The engine can do it, and the transcripts show it. */
  readonly offer?: readonly string[];
  /** May make one read go wrong. */
  readonly onRead?: (read: XapiNbdRead) => XapiNbdFault | undefined;
  /** Presented instead of `certificate` and `key` where it gives one: a host whose certificate changed, or an impostor. */
  readonly presentIdentity?: (connectionIndex: number) => XapiNbdIdentity | undefined;
}

const DEFAULT_CONNECTION_LIMIT = 16;

/**
 * The NBD server of a XenServer host: the smallest NBD that there is, with the same answers, refusals and hang-ups as
 * the real engine, whose transcripts stand in `packages/core/fixtures/xapi-nbd`.
 */
export class XapiNbdServer implements AsyncDisposable {
  readonly address: NbdAddress;
  readonly #listener: Listener;
  readonly #sockets: Set<net.Socket>;
  readonly #sessions: Set<Promise<void>>;

  private constructor(listener: Listener, sockets: Set<net.Socket>, sessions: Set<Promise<void>>) {
    this.#listener = listener;
    this.#sockets = sockets;
    this.#sessions = sessions;
    this.address = listener.address;
  }

  /** @throws VBackupError VB_NBD_SERVER_LISTEN */
  static async listen(options: XapiNbdServerOptions): Promise<XapiNbdServer> {
    const sockets = new Set<net.Socket>();
    const sessions = new Set<Promise<void>>();
    const limit = options.connectionLimit ?? DEFAULT_CONNECTION_LIMIT;
    const counter = { connections: 0, reads: 0 };
    const listener = await listenOn({ address: options.address }, (socket) => {
      if (sockets.size >= limit) {
        socket.destroy();
        return;
      }
      sockets.add(socket);
      const session = new XapiNbdSession(socket, options, counter).run().finally(() => {
        sockets.delete(socket);
        sessions.delete(session);
      });
      sessions.add(session);
    });
    return new XapiNbdServer(listener, sockets, sessions);
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Cuts every connection, as a host does that goes down: a client can reconnect, to nothing or to a server that stays. */
  cutConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Ends every connection, and waits until each has closed its disk. */
  async close(): Promise<void> {
    const { server } = this.#listener;
    if (server.listening) {
      const closed = once(server, 'close');
      server.close();
      for (const socket of this.#sockets) socket.destroy();
      await closed;
      await this.#listener.release();
    }
    await Promise.all(this.#sessions);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
