import net from 'node:net';
import type { Duplex } from 'node:stream';
import type { NbdAddress } from '../nbd/index.js';

/** A client that says what a test tells it, byte by byte, and nothing by itself. */
export class RawClient implements Disposable {
  readonly socket: Duplex;
  #chunks: Buffer[] = [];
  #length = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('error', end);
    socket.on('close', end);
  }

  static connect(address: NbdAddress): RawClient {
    return new RawClient(address.kind === 'tcp' ? net.connect(address.port, address.host) : net.connect(address.path));
  }

  send(...parts: readonly Buffer[]): this {
    this.socket.write(Buffer.concat(parts));
    return this;
  }

  /** Exactly `length` bytes; fewer when the server ends before. */
  async take(length: number): Promise<Buffer> {
    while (this.#length < length && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(length)];
    this.#length = Math.max(0, all.length - length);
    return all.subarray(0, length);
  }

  /** Everything until the server ends. */
  rest(): Promise<Buffer> {
    return this.take(Number.MAX_SAFE_INTEGER);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** The greeting's length in bytes. */
export const GREETING_LENGTH = 18;

/** Client flags; 3 is fixed newstyle without zeroes. */
export const clientFlags = (flags = 3): Buffer => uint(flags, 4);

export const clientOption = (option: number, data: Buffer = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.from('IHAVEOPT'), uint(option, 4), uint(data.length, 4), data]);

/** The data of INFO and GO. */
export const infoData = (name: string, items: readonly number[] = []): Buffer =>
  Buffer.concat([text(name), uint(items.length, 2), ...items.map((item) => uint(item, 2))]);

/** The data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export const metaData = (name: string, queries: readonly string[]): Buffer =>
  Buffer.concat([text(name), uint(queries.length, 4), ...queries.map(text)]);

export interface RawRequest {
  readonly type: number;
  readonly flags?: number;
  readonly cookie?: bigint;
  readonly offset?: number | bigint;
  readonly length?: number;
}

export function clientRequest(request: RawRequest): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(0x25609513, 0);
  bytes.writeUInt16BE(request.flags ?? 0, 4);
  bytes.writeUInt16BE(request.type, 6);
  bytes.writeBigUInt64BE(request.cookie ?? 0n, 8);
  bytes.writeBigUInt64BE(BigInt(request.offset ?? 0), 16);
  bytes.writeUInt32BE(request.length ?? 0, 24);
  return bytes;
}

/** One option reply. */
export async function takeOptionReply(client: RawClient): Promise<{ option: number; type: number; data: Buffer }> {
  const header = await client.take(20);
  if (header.length < 20) throw new Error(`the server ended with ${header.length} bytes of an option reply`);
  return {
    option: header.readUInt32BE(8),
    type: header.readUInt32BE(12),
    data: await client.take(header.readUInt32BE(16)),
  };
}

/** Past the greeting and NBD_OPT_EXPORT_NAME: ready for requests and simple replies. */
export async function openRaw(address: NbdAddress, name = ''): Promise<RawClient> {
  const client = RawClient.connect(address).send(clientFlags(), clientOption(1, Buffer.from(name)));
  await client.take(GREETING_LENGTH + 10);
  return client;
}

const text = (value: string): Buffer => Buffer.concat([uint(Buffer.byteLength(value), 4), Buffer.from(value)]);

function uint(value: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, 0, length);
  return bytes;
}
