import type { Duplex } from 'node:stream';
import { ByteQueue } from '../../bytes/index.js';
import { ProtocolError, VBackupError } from '../../errors/index.js';
import type { Channel } from './channel.js';

/** Bytes that may wait to be read beyond what is asked for; then the peer's window closes. */
const READ_AHEAD = 256 * 1024;

/** A {@link Channel} over a socket, clear or TLS. One read at a time. */
export class SocketChannel implements Channel {
  readonly #socket: Duplex;
  readonly #queue = new ByteQueue();
  #wanted = 0;
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  #unsent = 0;

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onEnd);
  }

  /** Bytes that arrived and nobody read yet. */
  get buffered(): number {
    return this.#queue.length + this.#socket.readableLength;
  }

  /** Somebody waits for the peer: to send the rest of a message, or to take what was written. */
  get stalled(): boolean {
    return this.#unsent > 0 || (this.#wanted > 0 && this.#queue.length > 0);
  }

  async read(length: number): Promise<Buffer | undefined> {
    for (;;) {
      const bytes = this.#queue.take(length);
      if (bytes !== undefined) return bytes;
      if (this.#ended) return this.#atEnd();
      this.#wanted = length;
      if (this.#socket.isPaused()) this.#socket.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wanted = 0;
    }
  }

  async write(parts: readonly Buffer[]): Promise<void> {
    this.#unsent += 1;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#socket.cork();
        parts.forEach((part, index) => {
          if (index < parts.length - 1) this.#socket.write(part);
          else this.#socket.write(part, (error) => (error instanceof Error ? reject(error) : resolve()));
        });
        this.#socket.uncork();
      });
    } catch (cause) {
      throw new VBackupError('VB_NBD_SERVER_PEER_GONE', 'the client no longer takes bytes', { cause });
    } finally {
      this.#unsent -= 1;
    }
  }

  stopReading(): void {
    this.#onEnd();
  }

  /** Lets go of the socket, paused, so that TLS can take it over. */
  release(): void {
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onEnd);
  }

  #atEnd(): undefined {
    if (this.#failure === undefined && this.#queue.length === 0) return undefined;
    throw new ProtocolError('VB_NBD_SERVER_PEER_GONE', 'the client ended within a message', this.#queue.offset, {
      cause: this.#failure,
    });
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#queue.push(chunk);
    if (this.#queue.length >= Math.max(this.#wanted, READ_AHEAD)) this.#socket.pause();
    if (this.#queue.length >= this.#wanted) this.#notify();
  };

  readonly #onEnd = (): void => {
    this.#ended = true;
    this.#notify();
  };

  readonly #onError = (error: Error): void => {
    this.#failure ??= error;
    this.#ended = true;
    this.#notify();
  };

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
