import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { SocketChannel } from './socket-channel.js';

const CHUNK_LENGTH = 16 * 1024;

describe('SocketChannel', () => {
  it('reads a little ahead, no further, and goes on when somebody reads', async () => {
    const sender = new Sender(1_000);
    const channel = new SocketChannel(sender);
    const settle = async () => {
      for (let before = -1; before !== sender.sent; ) {
        before = sender.sent;
        for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
      }
    };
    await settle();
    assert.ok(sender.sent < 40, `${sender.sent} chunks before the first read`);
    for (let index = 0; index < 1_000; index += 1) {
      assert.deepEqual(await channel.read(CHUNK_LENGTH), Buffer.alloc(CHUNK_LENGTH, index));
    }
    assert.equal(await channel.read(1), undefined);
    sender.destroy();
  });

  it('takes as much as one message needs', async () => {
    const sender = new Sender(1_000);
    const channel = new SocketChannel(sender);
    assert.equal((await channel.read(900 * CHUNK_LENGTH))?.length, 900 * CHUNK_LENGTH);
    sender.destroy();
  });

  it('tells an end between messages from one within, and a break from both', async () => {
    const between = new SocketChannel(new Sender(1));
    await between.read(CHUNK_LENGTH);
    assert.equal(await between.read(1), undefined);
    await assert.rejects(new SocketChannel(new Sender(1)).read(CHUNK_LENGTH + 1), { code: 'VB_NBD_SERVER_PEER_GONE' });
    const broken = new Sender(0, new Error('reset'));
    await assert.rejects(new SocketChannel(broken).read(1), { code: 'VB_NBD_SERVER_PEER_GONE' });
  });

  it('fails to write where nobody takes it', async () => {
    const sender = new Sender(1);
    const channel = new SocketChannel(sender);
    await channel.write([Buffer.from('a'), Buffer.from('b')]);
    assert.equal(channel.stalled, false);
    sender.destroy();
    await assert.rejects(channel.write([Buffer.from('c')]), { code: 'VB_NBD_SERVER_PEER_GONE' });
  });
});

/** Sends chunks, each filled with its own number, and then ends or breaks. */
class Sender extends Duplex {
  sent = 0;
  readonly #count: number;
  readonly #failure: Error | undefined;

  constructor(count: number, failure?: Error) {
    super();
    this.#count = count;
    this.#failure = failure;
  }

  override _read(): void {
    setImmediate(() => {
      if (this.sent < this.#count) this.push(Buffer.alloc(CHUNK_LENGTH, this.sent++));
      else if (this.#failure !== undefined) this.destroy(this.#failure);
      else this.push(null);
    });
  }

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}
