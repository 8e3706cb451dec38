import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { ByteQueue, readUInt64BE, writeUInt64BE } from '../bytes/index.js';
import {
  NBD_FLAG_HAS_FLAGS,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_EXPORT,
  NBD_MAGIC,
  NBD_OPT_GO,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_OPTS_MAGIC,
  NBD_REP_ACK,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_MAGIC,
  NBD_REP_META_CONTEXT,
  NBD_REPLY_FLAG_DONE,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
  type NbdAddress,
} from '../nbd/index.js';

/** A request as a scripted server sees it. */
export interface SeenRequest {
  readonly flags: number;
  readonly command: number;
  readonly cookie: bigint;
  readonly offset: number;
  readonly length: number;
}

export interface ScriptedExport {
  /** Default 1 MiB. */
  readonly size?: number;
  /** Transmission flags. Default NBD_FLAG_HAS_FLAGS. */
  readonly flags?: number;
  /** Default true. */
  readonly structured?: boolean;
  /** Names of meta contexts; their ids count from 1. Default `base:allocation`. */
  readonly contexts?: readonly string[];
  readonly blockSizes?: readonly [minimum: number, preferred: number, maximum: number];
}

/** The client's end of a connection, as the script of a server that may misbehave sees it. */
export class ScriptedPeer {
  readonly socket: Socket;
  readonly #queue = new ByteQueue();
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#queue.push(chunk);
      this.#wake?.();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  /** @throws Error if the client is gone */
  async read(length: number): Promise<Buffer> {
    for (;;) {
      const bytes = this.#queue.take(length);
      if (bytes !== undefined) return Buffer.from(bytes);
      if (this.#ended) throw new Error('the client is gone');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  write(...parts: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  async request(): Promise<SeenRequest> {
    const bytes = await this.read(28);
    return {
      flags: bytes.readUInt16BE(4),
      command: bytes.readUInt16BE(6),
      cookie: bytes.readBigUInt64BE(8),
      offset: readUInt64BE(bytes, 16),
      length: bytes.readUInt32BE(24),
    };
  }

  async option(): Promise<{ readonly option: number; readonly data: Buffer }> {
    const header = await this.read(16);
    return { option: header.readUInt32BE(8), data: await this.read(header.readUInt32BE(12)) };
  }

  /** Resolves when the client closed the connection. */
  async gone(): Promise<void> {
    if (!this.#ended) await once(this.socket, 'close');
  }

  /** Greets, and reads the client's flags. */
  async greet(flags = 3): Promise<void> {
    this.write(greeting(flags));
    await this.read(4);
  }

  /** A correct negotiation up to GO. */
  async negotiate(shown: ScriptedExport = {}): Promise<void> {
    const { size = 1024 * 1024, flags = NBD_FLAG_HAS_FLAGS, structured = true } = shown;
    await this.greet();
    for (;;) {
      const { option } = await this.option();
      if (option === NBD_OPT_STRUCTURED_REPLY && structured) {
        this.write(optionReply(option, NBD_REP_ACK));
      } else if (option === NBD_OPT_SET_META_CONTEXT) {
        const contexts = shown.contexts ?? ['base:allocation'];
        for (const [index, name] of contexts.entries()) this.write(contextReply(index + 1, name));
        this.write(optionReply(option, NBD_REP_ACK));
      } else if (option === NBD_OPT_GO) {
        this.write(optionReply(option, NBD_REP_INFO, exportInformation(size, flags)));
        if (shown.blockSizes !== undefined) {
          this.write(optionReply(option, NBD_REP_INFO, blockSizeInformation(shown.blockSizes)));
        }
        this.write(optionReply(option, NBD_REP_ACK));
        return;
      } else {
        this.write(optionReply(option, NBD_REP_ERR_UNSUP));
      }
    }
  }
}

/** Listens on a free TCP port and plays `script` on every connection; `index` counts them from 0. */
export class ScriptedNbdServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #connections = 0;

  private constructor(script: (peer: ScriptedPeer, index: number) => Promise<void>) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      // A script ends with its client; what it thinks of the client it says with its answers.
      script(new ScriptedPeer(socket), this.#connections++).catch(() => socket.destroy());
    });
  }

  static async start(script: (peer: ScriptedPeer, index: number) => Promise<void>): Promise<ScriptedNbdServer> {
    const server = new ScriptedNbdServer(script);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get address(): NbdAddress {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the server does not listen');
    return { kind: 'tcp', host: '127.0.0.1', port: address.port };
  }

  /** Connections so far. */
  get connections(): number {
    return this.#connections;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}

export function greeting(flags = 3): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeBigUInt64BE(NBD_MAGIC, 0);
  bytes.writeBigUInt64BE(NBD_OPTS_MAGIC, 8);
  bytes.writeUInt16BE(flags, 16);
  return bytes;
}

export function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeBigUInt64BE(NBD_REP_MAGIC, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(type, 12);
  bytes.writeUInt32BE(data.length, 16);
  return Buffer.concat([bytes, data]);
}

export function contextReply(id: number, name: string): Buffer {
  return optionReply(NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, Buffer.concat([word(id), Buffer.from(name)]));
}

export function exportInformation(size: number, flags: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16BE(NBD_INFO_EXPORT, 0);
  writeUInt64BE(bytes, size, 2);
  bytes.writeUInt16BE(flags, 10);
  return bytes;
}

export function blockSizeInformation(sizes: readonly number[]): Buffer {
  const kind = Buffer.alloc(2);
  kind.writeUInt16BE(NBD_INFO_BLOCK_SIZE);
  return Buffer.concat([kind, ...sizes.map(word)]);
}

export function simpleReply(cookie: bigint, errno = 0): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(NBD_SIMPLE_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(errno, 4);
  bytes.writeBigUInt64BE(cookie, 8);
  return bytes;
}

/** A structured chunk. `length` lies about the length of the body where it is given. */
export function chunk(
  cookie: bigint,
  type: number,
  content: { readonly body?: Buffer; readonly done?: boolean; readonly length?: number } = {},
): Buffer {
  const { body = Buffer.alloc(0), done = true } = content;
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32BE(NBD_STRUCTURED_REPLY_MAGIC, 0);
  bytes.writeUInt16BE(done ? NBD_REPLY_FLAG_DONE : 0, 4);
  bytes.writeUInt16BE(type, 6);
  bytes.writeBigUInt64BE(cookie, 8);
  bytes.writeUInt32BE(content.length ?? body.length, 16);
  return Buffer.concat([bytes, body]);
}

/** 32 bits, most significant byte first. */
export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** 64 bits, most significant byte first. */
export function longWord(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  writeUInt64BE(bytes, value, 0);
  return bytes;
}

/** The body of a block status: a context and its extents as [length, flags]. */
export function statusBody(context: number, ...extents: readonly (readonly [number, number])[]): Buffer {
  return Buffer.concat([word(context), ...extents.flat().map(word)]);
}

/** The body of an error chunk. */
export function errorBody(errno: number, message: string, offset?: number): Buffer {
  const text = Buffer.from(message);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(text.length);
  return Buffer.concat([word(errno), length, text, ...(offset === undefined ? [] : [longWord(offset)])]);
}
