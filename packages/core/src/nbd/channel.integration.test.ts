import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { NbdCredentials, requireTools } from '../testing/index.js';
import { Channel, type Receiver } from './channel.js';
import type { NbdAddress } from './connect-options.js';
import { planTls } from './tls.js';
import { readDirectly } from './tls-direct.js';

const LENGTH = 1024 * 1024 + 12_345;

/** Takes `LENGTH` bytes to one place, as a decoder takes payload. */
class Collector implements Receiver {
  readonly bytes = Buffer.alloc(LENGTH);
  readonly #done: () => void;
  filled = 0;
  directly = 0;

  constructor(done: () => void) {
    this.#done = done;
  }

  place(): Buffer {
    return this.bytes.subarray(this.filled);
  }

  placed(length: number): void {
    this.directly += length;
    this.#advance(length);
  }

  push(chunk: Buffer): void {
    chunk.copy(this.bytes, this.filled);
    this.#advance(chunk.length);
  }

  #advance(length: number): void {
    this.filled += length;
    if (this.filled === LENGTH) this.#done();
  }
}

describe('Channel in TLS', () => {
  let credentials: NbdCredentials | undefined;
  let certificate = '';
  let key = '';

  before(async function () {
    requireTools(this, ['openssl']);
    credentials = await NbdCredentials.make();
    certificate = await readFile(join(credentials.pki, 'server-cert.pem'), 'utf8');
    key = await readFile(join(credentials.pki, 'server-key.pem'), 'utf8');
  });

  after(async () => credentials?.[Symbol.asyncDispose]());

  async function withServer(
    serve: (socket: TLSSocket) => void,
    use: (address: NbdAddress) => Promise<void>,
  ): Promise<void> {
    const server = createServer({ cert: certificate, key }, (socket) => {
      socket.on('error', () => {});
      serve(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('the server does not listen');
    try {
      await use({ kind: 'tcp', host: '127.0.0.1', port: bound.port });
    } finally {
      server.close();
    }
  }

  async function open(address: NbdAddress, directTls: boolean): Promise<Channel> {
    const channel = await Channel.open({ address, tls: true, directTls, signal: AbortSignal.timeout(5000) });
    await channel.startTls(planTls({ kind: 'pinned', certificate }, address));
    return channel;
  }

  for (const directTls of [true, false]) {
    it(`receives every byte ${directTls ? 'straight into its place' : 'as chunks'}`, async () => {
      const bytes = randomBytes(LENGTH);
      const serve = (socket: TLSSocket) => socket.once('data', () => socket.write(bytes));
      await withServer(serve, async (address) => {
        const channel = await open(address, directTls);
        const collector = await new Promise<Collector>((resolve, reject) => {
          const receiver = new Collector(() => resolve(receiver));
          channel.onClosed = reject;
          channel.receiver = receiver;
          channel.write([Buffer.from('go')]);
        });
        assert.ok(collector.bytes.equals(bytes));
        assert.equal(collector.directly > LENGTH / 2, directTls);
        await channel.end(1000);
      });
    });
  }

  it('writes to no place any more when it was destroyed', async () => {
    const serve = (socket: TLSSocket) => socket.once('data', () => socket.write(Buffer.alloc(LENGTH, 7)));
    await withServer(serve, async (address) => {
      const channel = await open(address, true);
      const collector = new Collector(() => {});
      channel.receiver = {
        place: () => collector.place(),
        push: (chunk) => collector.push(chunk),
        placed: (length) => {
          collector.placed(length);
          if (collector.filled < 100_000) return;
          // As an abort does it: in a microtask, between two records that are decrypted in one go.
          queueMicrotask(() => {
            channel.destroy(new Error('enough'));
            collector.bytes.fill(1);
          });
        },
      };
      const closed = new Promise<Error>((resolve) => {
        channel.onClosed = resolve;
      });
      channel.write([Buffer.from('go')]);
      assert.match((await closed).message, /enough/);
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.ok(collector.bytes.every((byte) => byte === 1));
    });
  });

  it('changes nothing on a socket that is not as it knows it', async () => {
    const serve = (socket: TLSSocket) => {
      const reader = { buffer: () => Buffer.alloc(1), callback: () => true };
      Reflect.set(socket, '_handle', {});
      const before = Object.getOwnPropertySymbols(socket).map((symbol) => Reflect.get(socket, symbol));
      assert.equal(readDirectly(socket, reader), undefined);
      assert.deepEqual(
        Object.getOwnPropertySymbols(socket).map((symbol) => Reflect.get(socket, symbol)),
        before,
      );
    };
    const seen = new Promise<void>((resolve, reject) => {
      void withServer(
        (socket) => {
          const handle: unknown = Reflect.get(socket, '_handle');
          try {
            serve(socket);
            resolve();
          } catch (error) {
            reject(error);
          } finally {
            Reflect.set(socket, '_handle', handle);
          }
        },
        async (address) => {
          const channel = await open(address, true);
          await seen.catch(() => {});
          await channel.end(1000);
        },
      ).catch(reject);
    });
    await seen;
  });
});
