import net from 'node:net';
import tls from 'node:tls';
import { format } from 'node:util';

// What was done to the real engine to get the transcripts in packages/core/fixtures/xapi-nbd, done again. It shares no
// code with the client or the server of this project, constants included: a fault in those must not hide here.

export interface ProberOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly exportName: string;
}

const MIB = 1024 * 1024;
const REPLY_MAGIC = 0x67446698;

/** Every line of the transcript, in order. */
export async function probe(options: ProberOptions): Promise<string[]> {
  const lines: string[] = [];
  const say = (...words: unknown[]): void => void lines.push(...format(...words).split('\n'));
  await probeHandshake(options, say);
  await probeReads(options, say);
  await probeFaults(options, say);
  await attempt(say, 'pipelined 64 x 64KiB out-of-order check', async () => {
    const peer = await opened(options);
    return ['in order', await peer.pipelined(64, 64 * 1024)];
  });
  await attempt(say, 'wrong export name', async () => {
    await opened({ ...options, exportName: '/wrong' });
    return ['opened'];
  });
  await attempt(say, 'client asks NO_ZEROES (server did not offer)', async () => {
    const peer = await opened(options, 3);
    return [await peer.read(0, 512)];
  });
  return lines;
}

type Say = (...words: unknown[]) => void;

async function probeHandshake(options: ProberOptions, say: Say): Promise<void> {
  const peer = await greeted(options, 1);
  say('server global flags', peer.globalFlags);
  say('OPT_LIST =>', await peer.option(3));
  say('OPT_INFO(6) =>', await peer.option(6, infoRequest(options.exportName)));
  say('OPT_GO(7) =>', await peer.option(7, infoRequest(options.exportName)));
  say('OPT_STRUCTURED(8) =>', await peer.option(8));
  say('OPT_SET_META(10) =>', await peer.option(10, Buffer.alloc(8)));
  say('OPT_EXTENDED(11) =>', await peer.option(11));
  say('OPT_STARTTLS again =>', await peer.option(5));
  await peer.exportName(options.exportName);
  say('size', peer.size, 'tflags', `0x${peer.transmissionFlags.toString(16)}`);
  peer.close();
}

async function probeReads(options: ProberOptions, say: Say): Promise<void> {
  const peer = await opened(options);
  const lengths = { '1MiB': 1, '32MiB': 32, '33MiB': 33, '64MiB': 64, '512MiB': 512, '1GiB': 1024 };
  for (const [name, mebibytes] of Object.entries(lengths)) {
    await attempt(say, `read ${name}`, async () => [await peer.read(0, mebibytes * MIB)]);
  }
  peer.close();
}

async function probeFaults(options: ProberOptions, say: Say): Promise<void> {
  const size = 2048 * MIB;
  const requests: readonly (readonly [string, ProbeRequest, boolean])[] = [
    ['unaligned off 1', { type: 0, offset: 1, length: 512 }, true],
    ['unaligned len 100', { type: 0, offset: 0, length: 100 }, true],
    ['read at EOF', { type: 0, offset: size, length: 512 }, true],
    ['read crossing EOF', { type: 0, offset: size - 512, length: 1024 }, false],
    ['len 0', { type: 0, offset: 0, length: 0 }, true],
    ['FLUSH', { type: 3, offset: 0, length: 0 }, true],
    ['TRIM', { type: 4, offset: 0, length: 4096 }, true],
    ['CACHE', { type: 5, offset: 0, length: 4096 }, true],
    ['WRITE_ZEROES', { type: 6, offset: 0, length: 4096 }, true],
    ['BLOCK_STATUS', { type: 7, offset: 0, length: 4096 }, true],
  ];
  for (const [name, request, thenRead] of requests) {
    const peer = await opened(options);
    await attempt(say, name, async () => [await peer.request(request)]);
    if (thenRead) await attempt(say, ' then aligned read', async () => [await peer.read(0, 512)]);
    peer.close();
  }
}

async function attempt(say: Say, name: string, work: () => Promise<unknown[]>): Promise<void> {
  try {
    say(name, '=>', ...(await work()));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    say(name, '=> ERR', code, error instanceof Error ? error.message : error);
  }
}

async function greeted(options: ProberOptions, clientFlags: number): Promise<Peer> {
  const peer = new Peer(net.connect(options.port, options.host));
  await peer.greeting(clientFlags);
  if (options.tls) await peer.startTls();
  return peer;
}

async function opened(options: ProberOptions, clientFlags = 1): Promise<Peer> {
  const peer = await greeted(options, clientFlags);
  await peer.exportName(options.exportName);
  return peer;
}

function infoRequest(name: string): Buffer {
  const bytes = Buffer.from(name);
  return Buffer.concat([uint32(bytes.length), bytes, Buffer.alloc(2)]);
}

interface ProbeRequest {
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

class Peer {
  globalFlags = 0;
  size = 0n;
  transmissionFlags = 0;
  #socket: net.Socket;
  #chunks: Buffer[] = [];
  #length = 0;
  #over: Error | undefined;
  #wake: () => void = () => undefined;
  #cookie = 0n;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#listen();
  }

  async greeting(clientFlags: number): Promise<void> {
    const bytes = await this.#take(18, 'EOF');
    if (bytes.toString('latin1', 0, 16) !== 'NBDMAGICIHAVEOPT') throw new Error('bad greeting');
    this.globalFlags = bytes.readUInt16BE(16);
    this.#socket.write(uint32(clientFlags));
  }

  async startTls(): Promise<void> {
    const replies = await this.option(5);
    if (replies[0]?.[0] !== '1') throw new Error('no STARTTLS');
    this.#socket.removeAllListeners();
    const secured = tls.connect({ socket: this.#socket, rejectUnauthorized: false });
    await new Promise((resolve, reject) => {
      secured.once('secureConnect', resolve);
      secured.once('error', reject);
    });
    this.#socket = secured;
    this.#listen();
  }

  async option(option: number, data: Buffer = Buffer.alloc(0)): Promise<[string, string][]> {
    this.#socket.write(Buffer.concat([Buffer.from('IHAVEOPT'), uint32(option), uint32(data.length), data]));
    const replies: [string, string][] = [];
    for (;;) {
      const header = await this.#take(20, 'EOF');
      const type = header.readUInt32BE(12);
      const payload = await this.#take(header.readUInt32BE(16), 'EOF');
      replies.push([type.toString(16), payload.toString('latin1')]);
      if (type !== 2) return replies;
    }
  }

  async exportName(name: string): Promise<void> {
    const bytes = Buffer.from(name);
    this.#socket.write(Buffer.concat([Buffer.from('IHAVEOPT'), uint32(1), uint32(bytes.length), bytes]));
    const answer = await this.#take(10 + 124, 'EOF');
    if (!answer.subarray(10).equals(Buffer.alloc(124))) throw new Error('no zeroes');
    this.size = answer.readBigUInt64BE(0);
    this.transmissionFlags = answer.readUInt16BE(8);
  }

  read(offset: number, length: number): Promise<number> {
    return this.request({ type: 0, offset, length });
  }

  /** How many bytes came back. */
  async request(request: ProbeRequest): Promise<number> {
    const cookie = this.#send(request);
    await this.#header(cookie);
    return request.type === 0 ? await this.#discard(request.length) : 0;
  }

  async pipelined(count: number, length: number): Promise<boolean> {
    const cookies = Array.from({ length: count }, (_, index) =>
      this.#send({ type: 0, offset: index * length, length }),
    );
    for (const cookie of cookies) {
      await this.#header(cookie);
      await this.#discard(length);
    }
    this.close();
    return true;
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(request: ProbeRequest): bigint {
    this.#cookie += 1n;
    const bytes = Buffer.alloc(28);
    bytes.writeUInt32BE(0x25609513, 0);
    bytes.writeUInt32BE(request.type, 4);
    bytes.writeBigUInt64BE(this.#cookie, 8);
    bytes.writeBigUInt64BE(BigInt(request.offset), 16);
    bytes.writeUInt32BE(request.length, 24);
    this.#socket.write(bytes);
    return this.#cookie;
  }

  async #header(cookie: bigint): Promise<void> {
    const header = await this.#take(16, 'closed');
    if (header.readUInt32BE(0) !== REPLY_MAGIC) throw new Error('bad reply magic');
    if (header.readBigUInt64BE(8) !== cookie) throw new Error('out of order');
    const error = header.readUInt32BE(4);
    if (error !== 0) throw new Error(`nbd errno ${error}`);
  }

  async #discard(length: number): Promise<number> {
    for (let left = length; left > 0; left -= Math.min(left, MIB)) await this.#take(Math.min(left, MIB), 'closed');
    return length;
  }

  async #take(length: number, whenOver: string): Promise<Buffer> {
    while (this.#length < length) {
      if (this.#over !== undefined) throw 'code' in this.#over ? this.#over : new Error(whenOver);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const all = this.#chunks.length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(length)];
    this.#length -= length;
    return all.subarray(0, length);
  }

  #listen(): void {
    const over = (error: Error): void => {
      this.#over ??= error;
      this.#wake();
    };
    this.#socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#wake();
    });
    this.#socket.on('error', over);
    this.#socket.on('close', () => over(new Error('closed')));
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}
