import type { X509Certificate } from 'node:crypto';
import type net from 'node:net';
import tls from 'node:tls';
import { ProtocolError, VBackupError } from '../../errors/index.js';
import type { ByteBudget } from './byte-budget.js';
import type { Channel } from './channel.js';
import { type Negotiated, Negotiation } from './negotiation.js';
import type { NbdServerConnection, NbdServerLimits, NbdServerOptions } from './server-options.js';
import { type Pace, SocketChannel } from './socket-channel.js';
import { startTls } from './starttls.js';
import { type TlsIdentity, tlsOptionsOf } from './tls-options.js';
import { Transmission } from './transmission.js';

/** What all sessions of a server have in common. */
export interface SessionTerms {
  readonly options: NbdServerOptions;
  readonly limits: NbdServerLimits;
  readonly budget: ByteBudget;
}

/** One client's connection, from its first byte to the close of its export. */
export class Session {
  readonly #options: NbdServerOptions;
  readonly #limits: NbdServerLimits;
  readonly #budget: ByteBudget;
  readonly #ended = new AbortController();
  readonly #index: number;
  /** The TCP or unix socket; `#socket` may be the TLS one over it. */
  readonly #transport: net.Socket;
  readonly #identity: TlsIdentity = { identity: undefined };
  #socket: net.Socket;
  #channel: SocketChannel;
  #failure: unknown;
  #stopping = false;

  constructor(socket: net.Socket, index: number, terms: SessionTerms) {
    this.#transport = socket;
    this.#socket = socket;
    this.#index = index;
    this.#options = terms.options;
    this.#limits = terms.limits;
    this.#budget = terms.budget;
    this.#channel = new SocketChannel(socket, this.#pace);
    socket.once('close', () => this.#ended.abort(new VBackupError('VB_ABORTED', 'the client is gone')));
  }

  /** Settles when all is over and closed. Never fails: it reports to `onConnectionError`. */
  async run(): Promise<void> {
    try {
      const agreed = await this.#negotiate();
      if (agreed !== undefined) await this.#transmit(agreed);
      // A connection that was dropped looks, from inside, like a client that left.
      if (this.#failure !== undefined) throw this.#failure;
      await this.#leave();
    } catch (error) {
      if (!this.#stopping) this.#options.onConnectionError?.(this.#failure ?? error, this.#connection());
    } finally {
      this.#transport.destroy();
      this.#ended.abort(new VBackupError('VB_ABORTED', 'the connection is over'));
    }
  }

  get #pace(): Pace {
    return { graceMs: this.#limits.stallTimeoutMs, bytesPerSecond: this.#limits.minimumBytesPerSecond };
  }

  /** Takes no more requests, and ends when those that were begun are answered. */
  stop(): void {
    this.#stopping = true;
    this.#channel.stopReading();
  }

  /** Ends now; what the export is doing is aborted. */
  destroy(): void {
    this.#stopping = true;
    this.#transport.destroy();
    this.#ended.abort(new VBackupError('VB_ABORTED', 'the server closes'));
  }

  async #negotiate(): Promise<Negotiated | undefined> {
    const deadline = AbortSignal.timeout(this.#limits.handshakeTimeoutMs);
    const late = () => this.#drop(`no export was opened within ${this.#limits.handshakeTimeoutMs} ms`);
    deadline.addEventListener('abort', late);
    try {
      return await new Negotiation(this.#channel, {
        open: (name) => this.#options.open(name, this.#connection()),
        list:
          this.#options.list === undefined
            ? undefined
            : async () => (await this.#options.list?.(this.#connection())) ?? [],
        upgrade: this.#options.tls === undefined ? undefined : (acknowledge) => this.#upgrade(acknowledge),
        tlsRequired: this.#options.tls !== undefined && this.#options.tlsRequired !== false,
        maximumRequest: this.#limits.maximumRequest,
        onExportError: this.#onExportError,
      }).run();
    } finally {
      deadline.removeEventListener('abort', late);
    }
  }

  async #transmit(agreed: Negotiated): Promise<void> {
    this.#socket.setTimeout(this.#limits.stallTimeoutMs, () => {
      if (this.#channel.stalled) this.#drop(`the client stalls for ${this.#limits.stallTimeoutMs} ms`);
    });
    // A byte now and then is no stall: what is begun must come to its end as well.
    const watch = setInterval(() => {
      if (this.#channel.overdue) this.#drop(`the client is slower than ${this.#pace.bytesPerSecond} bytes a second`);
    }, this.#limits.stallTimeoutMs);
    try {
      const transmission = new Transmission(agreed.channel, agreed, {
        limits: this.#limits,
        budget: this.#budget,
        signal: this.#ended.signal,
        onExportError: this.#onExportError,
        onGone: () => this.#transport.destroy(),
      });
      await transmission.run();
    } finally {
      clearInterval(watch);
      await agreed.disk.close?.().catch(this.#onExportError);
    }
  }

  async #upgrade(acknowledge: Buffer): Promise<Channel> {
    const { tls: how } = this.#options;
    if (how === undefined) throw new VBackupError('VB_INTERNAL', 'no TLS to start');
    this.#channel.release();
    // An honest client waits for the answer. What came before it came in clear, from whomever.
    if (this.#channel.buffered > 0)
      throw new ProtocolError('VB_NBD_SERVER_PROTOCOL', 'bytes in clear behind STARTTLS', 0);
    await this.#channel.write([acknowledge]);
    this.#socket = await startTls(this.#transport, {
      ...tlsOptionsOf(how, this.#identity),
      handshakeTimeout: this.#limits.handshakeTimeoutMs,
    });
    this.#channel = new SocketChannel(this.#socket, this.#pace);
    if (this.#stopping) this.#channel.stopReading();
    return this.#channel;
  }

  /** Replies that were written still leave, then the connection ends in order. */
  async #leave(): Promise<void> {
    if (this.#transport.destroyed) return;
    this.#socket.setTimeout(this.#limits.stallTimeoutMs, () => this.#transport.destroy());
    await new Promise<void>((resolve) => {
      this.#transport.once('close', resolve);
      this.#socket.end(resolve);
    });
  }

  #drop(why: string): void {
    this.#failure ??= new VBackupError('VB_NBD_SERVER_TIMEOUT', why);
    this.#transport.destroy();
  }

  readonly #onExportError = (error: unknown): void => this.#options.onExportError?.(error, this.#connection());

  #connection(): NbdServerConnection {
    return {
      index: this.#index,
      remote: remoteOf(this.#transport),
      secure: this.#socket !== this.#transport,
      certificate: certificateOf(this.#socket),
      identity: this.#identity.identity,
      signal: this.#ended.signal,
    };
  }
}

const remoteOf = (socket: net.Socket): string | undefined =>
  socket.remoteAddress === undefined ? undefined : `${socket.remoteAddress}:${socket.remotePort}`;

/** Only one that was verified: without an authority nobody asks for it. */
const certificateOf = (socket: net.Socket): X509Certificate | undefined =>
  socket instanceof tls.TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined;
