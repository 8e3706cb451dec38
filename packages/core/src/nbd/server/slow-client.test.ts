import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { VBackupError } from '../../errors/index.js';
import {
  clientFlags,
  clientOption,
  clientRequest,
  GREETING_LENGTH,
  infoData,
  MemoryExport,
  metaData,
  openRaw,
  RawClient,
  takeOptionReply,
} from '../../testing/index.js';
import { NbdServer } from './server.js';
import type { NbdServerOptions } from './server-options.js';

const MIB = 1024 * 1024;
const SIZE = 32 * MIB;

describe('the NBD server and clients that take their time', () => {
  let errors: string[];
  let gone: string[];
  beforeEach(() => {
    errors = [];
    gone = [];
  });

  const listen = (options: Partial<NbdServerOptions> = {}): Promise<NbdServer> =>
    NbdServer.listen({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      open: async () => new MemoryExport({ size: SIZE }),
      onConnectionError: (error) => {
        errors.push(error instanceof VBackupError ? error.code : String(error));
        gone.push(error instanceof Error ? error.message : '');
      },
      ...options,
    });

  /** Sends `bytes` of something, one now and one then, until the server has enough. */
  const drip = async (client: RawClient, everyMs: number): Promise<number> => {
    let sent = 0;
    for (; !client.socket.destroyed; sent += 1) {
      client.send(Buffer.alloc(1));
      await sleep(everyMs);
    }
    return sent;
  };

  it('drops one that sends a byte now and then of what it began, and not one that is idle', async () => {
    await using server = await listen({ stallTimeoutMs: 250, minimumBytesPerSecond: MIB });
    using idle = await openRaw(server.address);
    for (const begun of [
      [clientRequest({ type: 1, length: 100_000 })],
      [clientRequest({ type: 1, length: 100_000 }), Buffer.alloc(99_000)],
    ]) {
      using client = await openRaw(server.address);
      client.send(...begun);
      assert.ok((await drip(client, 10)) < 900);
    }
    while (server.connections > 1) await sleep(5);
    assert.equal((await idle.send(clientRequest({ type: 3 })).take(16)).readUInt32BE(4), 0);
    assert.deepEqual(errors, ['VB_NBD_SERVER_TIMEOUT', 'VB_NBD_SERVER_TIMEOUT']);
    // A machine that is busy may make a pause of it.
    for (const why of gone) assert.match(why, /slower than 1048576 bytes a second|stalls/);
  });

  it('drops one that announces a write and sends nothing of it', async () => {
    await using server = await listen({ stallTimeoutMs: 60 });
    using client = await openRaw(server.address);
    client.send(clientRequest({ type: 1, length: 4096 }));
    assert.equal((await client.rest()).length, 0);
    while (server.connections > 0) await sleep(5);
    assert.deepEqual(errors, ['VB_NBD_SERVER_TIMEOUT']);
  });

  it('drops one that takes a little of its replies now and then', async () => {
    await using server = await listen({ stallTimeoutMs: 100, minimumBytesPerSecond: 16 * MIB });
    using client = await openRaw(server.address);
    client.socket.pause();
    client.send(...Array.from({ length: 8 }, () => clientRequest({ type: 0, length: 8 * MIB })));
    let taken = 0;
    const sip = setInterval(() => {
      client.socket.once('data', (bytes: Buffer) => {
        taken += bytes.length;
        client.socket.pause();
      });
      client.socket.resume();
    }, 20);
    while (server.connections > 0) await sleep(10);
    clearInterval(sip);
    assert.deepEqual(errors, ['VB_NBD_SERVER_TIMEOUT']);
    assert.ok(taken < 64 * MIB);
  });

  it('lets one be slow that is faster than it must be', async () => {
    await using server = await listen({ stallTimeoutMs: 1_000, minimumBytesPerSecond: 256 });
    using client = await openRaw(server.address);
    client.send(clientRequest({ type: 1, length: 4000 }));
    for (let piece = 0; piece < 8; piece += 1) {
      await sleep(150);
      client.send(Buffer.alloc(500, 7));
    }
    assert.equal((await client.take(16)).readUInt32BE(4), 0);
    assert.deepEqual(errors, []);
  });

  it('serves the others while some hold every byte that there is', async () => {
    const limits = { maximumBytesInFlight: 8 * MIB, maximumRequest: 8 * MIB, maximumTotalBytesInFlight: 16 * MIB };
    await using server = await listen(limits);
    const hogs = await Promise.all([1, 2, 3].map(() => openRaw(server.address)));
    for (const hog of hogs) {
      hog.socket.pause();
      hog.send(...Array.from({ length: 4 }, () => clientRequest({ type: 0, length: 8 * MIB })));
    }
    using modest = await openRaw(server.address);
    for (let round = 0; round < 50; round += 1) {
      modest.send(clientRequest({ type: 0, length: 256 * 1024 }));
      assert.equal((await modest.take(16 + 256 * 1024)).length, 16 + 256 * 1024);
    }
    for (const hog of hogs) hog.socket.destroy();
  });

  it('holds no more of block status than of reads, for a client that takes none', async () => {
    const disk = new MemoryExport({ size: SIZE });
    const extents = Array.from({ length: 16_384 }, (_, index) => ({ length: 512, flags: index % 2 }));
    let asked = 0;
    disk.status = async () => {
      asked += 1;
      return extents;
    };
    await using server = await listen({ open: async () => disk, maximumBytesInFlight: 8 * MIB, maximumRequest: MIB });
    using client = RawClient.connect(server.address).send(clientFlags(), clientOption(8));
    client.send(clientOption(10, metaData('', ['base:allocation'])), clientOption(7, infoData('')));
    await client.take(GREETING_LENGTH);
    for (let type = -1; type !== 0x40; ) ({ type } = await takeOptionReply(client).then(tagged));
    client.socket.pause();
    client.send(...Array.from({ length: 127 }, () => clientRequest({ type: 7, length: SIZE })));
    while (asked < 8) await sleep(5);
    for (let before = -1; before !== asked; await sleep(50)) before = asked;
    assert.ok(asked < 100, `${asked} were asked for at once`);
    client.socket.resume();
    while (asked < 127) await sleep(10);
  });

  it('lives through a thousand connections, silent, half-open and served', async () => {
    await using server = await listen({ maximumConnections: 400 });
    const clients = Array.from({ length: 1_000 }, () => RawClient.connect(server.address));
    const greeted = await Promise.all(clients.map(async (client) => (await client.take(GREETING_LENGTH)).length > 0));
    assert.equal(greeted.filter(Boolean).length, 400);
    assert.equal(server.connections, 400);
    const held = clients.filter((_, index) => greeted[index]);
    for (const client of held.slice(0, 100)) client.socket.end();
    while (server.connections > 300) await sleep(10);
    using next = await openRaw(server.address);
    assert.equal((await next.send(clientRequest({ type: 0, length: 512 })).take(528)).length, 528);
    for (const client of clients) client.socket.destroy();
    while (server.connections > 1) await sleep(10);
    assert.equal((await next.send(clientRequest({ type: 0, length: 512 })).take(528)).length, 528);
    assert.deepEqual(errors, [], 'a client that leaves is no fault');
  });
});

/** The last reply of GO is the acknowledgement of option 7. */
const tagged = ({ option, type }: { option: number; type: number }) => ({
  type: option === 7 && type === 1 ? 0x40 : type,
});
