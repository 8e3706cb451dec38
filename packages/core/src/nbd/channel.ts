import { connect, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { abortError, VBackupError } from '../errors/index.js';
import { systemCode } from '../storage/io-error.js';
import { addressText } from './address-text.js';
import type { NbdAddress } from './connect-options.js';
import type { TlsPlan } from './tls.js';
import { type DirectReader, type DirectReading, readDirectly } from './tls-direct.js';
import { tlsError } from './tls-error.js';

/** Bytes that have no better place are received here; several short answers stay in the processor's cache until they are copied. */
const SCRATCH_LENGTH = 256 * 1024;
const KEEP_ALIVE_MS = 30_000;

/** Who takes the bytes that arrive on a channel. */
export interface Receiver {
  /** Where the next bytes should be written, if there is a place for them. */
  place(): Buffer | undefined;
  /** The first `length` bytes of `place()` are there. */
  placed(length: number): void;
  /**
   * How many bytes come, where there is no place, before there is one again: if no more are received, all others go to their place
   * without a copy. Missing where many short pieces are on their way: they had better be received together, wherever they belong.
   */
  readonly awaited?: number | undefined;
  /** Bytes that lie elsewhere. They may be overwritten when this returns. */
  push(chunk: Buffer): void;
}

export interface ChannelOptions {
  readonly address: NbdAddress;
  /** TLS will be started: until it stands, bytes come as chunks. */
  readonly tls: boolean;
  /** Receive straight into the receiver's places in TLS as well, where Node lets us. Default true. */
  readonly directTls?: boolean | undefined;
  readonly signal: AbortSignal;
}

/**
 * A socket, in clear or in TLS. Payload is received straight into the receiver's own memory: `onread` asks for the place
 * of the next bytes before it reads them.
 */
export class Channel {
  readonly #address: NbdAddress;
  readonly #raw: Socket;
  readonly #scratch: Buffer;
  /** The beginning of `#scratch` that was asked for last: mostly the header of a reply. */
  #awaited: Buffer;
  readonly #directTls: boolean;
  #socket: Socket | TLSSocket;
  #receiver: Receiver | undefined;
  #reading: DirectReading | undefined;
  #error: Error | undefined;
  #onClosed: ((error: Error) => void) | undefined;

  private constructor(options: ChannelOptions) {
    this.#address = options.address;
    this.#scratch = Buffer.allocUnsafeSlow(SCRATCH_LENGTH);
    this.#awaited = this.#scratch;
    this.#directTls = options.directTls ?? true;
    const common = options.tls ? {} : { onread: this.#reader };
    const { address } = options;
    this.#raw =
      address.kind === 'unix'
        ? connect({ path: address.path, ...common })
        : connect({ host: address.host, port: address.port, noDelay: true, keepAlive: true, ...common });
    if (address.kind === 'tcp') this.#raw.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#socket = this.#raw;
    if (options.tls) this.#raw.on('data', this.#pushed);
    this.#watch(this.#raw);
  }

  /** @throws VBackupError VB_NBD_CONNECT, or the reason of the signal */
  static async open(options: ChannelOptions): Promise<Channel> {
    if (options.signal.aborted) throw abortError(options.signal);
    const channel = new Channel(options);
    const abort = () => channel.destroy(abortError(options.signal));
    options.signal.addEventListener('abort', abort, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        channel.#onClosed = reject;
        channel.#raw.once('connect', resolve);
      });
    } catch (cause) {
      if (options.signal.aborted) throw abortError(options.signal);
      const reason = systemCode(cause instanceof Error ? cause.cause : undefined);
      const message = `cannot connect to the NBD server at ${addressText(options.address)}`;
      throw new VBackupError('VB_NBD_CONNECT', reason === undefined ? message : `${message}: ${reason}`, {
        cause,
        cure: 'check that the server runs, that the host and the socket or the port are right, and that no firewall is between',
      });
    } finally {
      options.signal.removeEventListener('abort', abort);
      channel.#onClosed = undefined;
    }
    return channel;
  }

  set receiver(receiver: Receiver) {
    this.#receiver = receiver;
  }

  /** Called once, when the channel is of no use any more; at once if that is so already. */
  set onClosed(handler: (error: Error) => void) {
    this.#onClosed = handler;
    if (this.#error !== undefined) this.#tell(this.#error);
  }

  /** Sends the buffers in one call. They must stay as they are until their reply is there. */
  write(buffers: readonly Buffer[]): void {
    if (this.#error !== undefined) return;
    const [only] = buffers;
    if (only !== undefined && buffers.length === 1) return void this.#socket.write(only);
    this.#socket.cork();
    for (const buffer of buffers) this.#socket.write(buffer);
    this.#socket.uncork();
  }

  /** Moves into TLS. Nothing that came in clear is given to the receiver afterwards. */
  async startTls(plan: TlsPlan): Promise<void> {
    this.#raw.off('data', this.#pushed);
    const socket = plan.secure(this.#raw);
    this.#socket = socket;
    this.#watch(socket);
    await new Promise<void>((resolve, reject) => {
      const outer = this.#onClosed;
      const restore = () => {
        this.#onClosed = outer;
      };
      this.#onClosed = (error) => {
        restore();
        reject(isLoss(error) ? tlsError(error.cause ?? error.message) : error);
      };
      socket.once('secureConnect', () => {
        restore();
        resolve();
      });
    });
    plan.verify(socket);
    if (this.#directTls) this.#reading = readDirectly(socket, this.#reader);
    if (this.#reading === undefined) {
      socket.on('data', this.#pushed);
      return;
    }
    const early: unknown = socket.read();
    if (Buffer.isBuffer(early)) this.#pushed(early);
    socket.resume();
  }

  /** Stops at once: when this returns, no byte is written to any place, and none is read from a buffer. */
  destroy(error: Error): void {
    this.#close(error);
  }

  /** Sends what is queued and closes; resolves when the peer closed as well or `timeoutMs` are over. */
  async end(timeoutMs: number): Promise<void> {
    if (this.#error !== undefined) return;
    const signal = AbortSignal.timeout(timeoutMs);
    await new Promise<void>((resolve) => {
      this.#onClosed = () => resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
      this.#socket.end();
    });
    this.destroy(new VBackupError('VB_NBD_CLOSED', 'the connection was closed'));
  }

  readonly #reader: DirectReader = {
    buffer: () => this.#nextPlace(),
    callback: (length, buffer) => this.#received(length, buffer),
  };

  #nextPlace(): Buffer {
    const receiver = this.#error === undefined ? this.#receiver : undefined;
    const place = receiver?.place();
    const awaited = receiver?.awaited;
    if (place !== undefined && (awaited !== undefined || place.length >= SCRATCH_LENGTH)) return place;
    return awaited === undefined ? this.#scratch : this.#scratchOf(awaited);
  }

  #scratchOf(length: number): Buffer {
    if (length >= SCRATCH_LENGTH) return this.#scratch;
    if (this.#awaited.length !== length) this.#awaited = this.#scratch.subarray(0, length);
    return this.#awaited;
  }

  /** Where the bytes are, Node itself says: what it was given last and what it wrote to may be two things in TLS. */
  #received(length: number, buffer: Uint8Array): boolean {
    const receiver = this.#receiver;
    if (this.#error !== undefined || receiver === undefined) return true;
    try {
      if (buffer.buffer === this.#scratch.buffer) receiver.push(this.#scratch.subarray(0, length));
      else receiver.placed(length);
    } catch (error) {
      this.#fail(error);
    }
    return true;
  }

  readonly #pushed = (chunk: Buffer): void => {
    if (this.#error !== undefined) return;
    try {
      this.#receiver?.push(chunk);
    } catch (error) {
      this.#fail(error);
    }
  };

  #fail(error: unknown): void {
    this.destroy(error instanceof Error ? error : new Error(String(error)));
  }

  #watch(socket: Socket): void {
    socket.on('error', (cause) => this.#close(this.#lost(`lost the connection to`, cause)));
    socket.on('end', () => this.#close(this.#lost('the connection was closed by')));
    socket.on('close', () => this.#close(this.#lost('the connection was closed by')));
  }

  #lost(how: string, cause?: unknown): VBackupError {
    // An alert of the server (our certificate is missing, say) may come when the handshake is over for us.
    if (cause instanceof Error && 'code' in cause && String(cause.code).startsWith('ERR_SSL')) return tlsError(cause);
    const message = `${how} the NBD server at ${addressText(this.#address)}`;
    return new VBackupError('VB_NBD_DISCONNECTED', message, { cause });
  }

  #close(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#reading?.park(this.#scratch);
    this.#socket.destroy();
    this.#raw.destroy();
    this.#tell(error);
  }

  #tell(error: Error): void {
    const handler = this.#onClosed;
    this.#onClosed = undefined;
    handler?.(error);
  }
}

const isLoss = (error: Error): boolean => error instanceof VBackupError && error.code === 'VB_NBD_DISCONNECTED';
