import type { Duplex } from 'node:stream';
import { ByteQueue } from '../../bytes/index.js';
import { ProtocolError, VBackupError } from '../../errors/index.js';
import type { Channel, ReadOptions } from './channel.js';

/** Bytes that may wait to be read beyond what is asked for; then the peer's window closes. */
const READ_AHEAD = 256 * 1024;

/** How slow a peer may be while it is waited for. */
export interface Pace {
  /** What every message may take, however short it is. */
  readonly graceMs: number;
  /** What is longer has a second more for every so many bytes. */
  readonly bytesPerSecond: number;
}

/** One part of what was written that has not left yet. */
interface Unsent {
  readonly bytes: number;
  readonly until: number;
}

const UNHURRIED: Pace = { graceMs: Number.POSITIVE_INFINITY, bytesPerSecond: 1 };

/** A {@link Channel} over a socket, clear or TLS. One read at a time. */
export class SocketChannel implements Channel {
  readonly #socket: Duplex;
  readonly #pace: Pace;
  readonly #queue = new ByteQueue();
  /** In the order of writing, which is the order of leaving. */
  readonly #unsent: Unsent[] = [];
  #unsentBytes = 0;
  #wanted = 0;
  /** When the message that is being read must be there; undefined between messages. */
  #owedUntil: number | undefined;
  /** We take no more messages, whatever the peer has sent already. */
  #stopped = false;
  #ended = false;
  #peerEnded = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Duplex, pace: Pace = UNHURRIED) {
    this.#socket = socket;
    this.#pace = pace;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('error', this.#onError);
    socket.on('close', this.#onEnd);
  }

  get ended(): boolean {
    return this.#peerEnded;
  }

  /** Bytes that arrived and nobody read yet. */
  get buffered(): number {
    return this.#queue.length + this.#socket.readableLength;
  }

  /** Somebody waits for the peer: to send the rest of a message, or to take what was written. */
  get stalled(): boolean {
    return this.#unsent.length > 0 || this.#owedUntil !== undefined;
  }

  /** The peer moves bytes, but so slowly that what it is waited for will not be done in time. */
  get overdue(): boolean {
    const until = Math.min(this.#unsent[0]?.until ?? Infinity, this.#owedUntil ?? Infinity);
    return until < performance.now();
  }

  async read(length: number, { begun = false, scratch }: ReadOptions = {}): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#stopped && !begun) return undefined;
      const bytes = this.#queue.take(length, scratch);
      if (bytes !== undefined || this.#ended) {
        this.#owedUntil = undefined;
        return bytes ?? this.#atEnd();
      }
      this.#wanted = length;
      if (begun || this.#queue.length > 0) this.#owe(length);
      if (this.#socket.isPaused()) this.#socket.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wanted = 0;
    }
  }

  async write(parts: readonly Buffer[]): Promise<void> {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    this.#unsentBytes += bytes;
    this.#unsent.push({ bytes, until: this.#deadline(this.#unsentBytes) });
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
      this.#unsentBytes -= this.#unsent.shift()?.bytes ?? 0;
    }
  }

  stopReading(): void {
    this.#stopped = true;
    this.#end();
  }

  /** Lets go of the socket, paused, so that TLS can take it over. */
  release(): void {
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onEnd);
  }

  #owe(length: number): void {
    this.#owedUntil ??= this.#deadline(length);
  }

  #deadline(bytes: number): number {
    return performance.now() + this.#pace.graceMs + (bytes * 1000) / this.#pace.bytesPerSecond;
  }

  #atEnd(): undefined {
    if (this.#failure === undefined && this.#queue.length === 0) return undefined;
    throw new ProtocolError('VB_NBD_SERVER_PEER_GONE', 'the client ended within a message', this.#queue.offset, {
      cause: this.#failure,
    });
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#queue.push(chunk);
    if (this.#wanted > 0) this.#owe(this.#wanted);
    if (this.#queue.length >= Math.max(this.#wanted, READ_AHEAD)) this.#socket.pause();
    if (this.#queue.length >= this.#wanted) this.#notify();
  };

  readonly #onEnd = (): void => {
    this.#peerEnded = true;
    this.#end();
  };

  readonly #onError = (error: Error): void => {
    this.#failure ??= error;
    this.#onEnd();
  };

  #end(): void {
    this.#ended = true;
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
