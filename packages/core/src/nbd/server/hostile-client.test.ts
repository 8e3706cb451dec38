import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
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

const SIZE = 8 * 1024 * 1024;
const KEYS = new Map([['alice', randomBytes(32)]]);

describe('the NBD server and hostile clients', () => {
  let errors: string[];
  beforeEach(() => {
    errors = [];
  });

  const listen = (options: Partial<NbdServerOptions> = {}): Promise<NbdServer> =>
    NbdServer.listen({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      open: async () => new MemoryExport({ size: SIZE }),
      onConnectionError: (error) => errors.push(error instanceof VBackupError ? error.code : String(error)),
      ...options,
    });

  /** Every connection is over and has been reported. */
  const settled = async (server: NbdServer): Promise<void> => {
    while (server.connections > 0) await new Promise(setImmediate);
  };

  it('refuses an option that is too long, and drops one that is far too long', async () => {
    await using server = await listen();
    using client = RawClient.connect(server.address).send(clientFlags());
    await client.take(GREETING_LENGTH);
    assert.equal((await takeOptionReply(client.send(clientOption(7, Buffer.alloc(65_537))))).type, 0x80000009);
    assert.equal((await takeOptionReply(client.send(clientOption(3)))).type, 0x80000002, 'and lives on');
    const endless = clientOption(7);
    endless.writeUInt32BE(0xffffffff, 12);
    assert.equal((await client.send(endless, Buffer.alloc(1_000)).rest()).length, 0);
    await settled(server);
    assert.deepEqual(errors, ['VB_NBD_SERVER_PROTOCOL']);
  });

  it('drops what is no NBD', async () => {
    await using server = await listen();
    const garbage: readonly (readonly [string, Buffer])[] = [
      ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
      ['oldstyle', clientFlags(0)],
      ['unknown client flags', clientFlags(0x13)],
      ['another option magic', Buffer.concat([clientFlags(), Buffer.alloc(16, 1)])],
      ['another request magic', Buffer.concat([clientFlags(), clientOption(1), Buffer.alloc(28, 1)])],
    ];
    for (const [what, bytes] of garbage) {
      using client = RawClient.connect(server.address).send(bytes);
      assert.ok((await client.rest()).length <= GREETING_LENGTH + 10, what);
    }
    await settled(server);
    assert.deepEqual(
      errors,
      garbage.map(() => 'VB_NBD_SERVER_PROTOCOL'),
    );
  });

  it('answers options that are not well-formed, and drops a client that never ends asking', async () => {
    await using server = await listen({ list: async () => [] });
    using client = RawClient.connect(server.address).send(clientFlags());
    await client.take(GREETING_LENGTH);
    const malformed = [
      clientOption(7, Buffer.alloc(3)),
      clientOption(6, Buffer.concat([infoData('x'), Buffer.alloc(1)])),
      clientOption(3, Buffer.alloc(1)),
      clientOption(8, Buffer.alloc(1)),
      clientOption(10, metaData('', ['base:allocation'])),
    ];
    for (const option of malformed) assert.equal((await takeOptionReply(client.send(option))).type, 0x80000003);
    client.send(...Array.from({ length: 1_000 }, () => clientOption(3)));
    assert.ok((await client.rest()).length < 1_000 * 20);
    await settled(server);
    assert.deepEqual(errors, ['VB_NBD_SERVER_PROTOCOL']);
  });

  it('drops a client that does not come to an export in time', async () => {
    await using server = await listen({ handshakeTimeoutMs: 30 });
    using silent = RawClient.connect(server.address);
    using slow = RawClient.connect(server.address).send(clientFlags(), clientOption(7).subarray(0, 9));
    assert.equal((await silent.rest()).length, GREETING_LENGTH);
    assert.equal((await slow.rest()).length, GREETING_LENGTH);
    await settled(server);
    assert.deepEqual(errors, ['VB_NBD_SERVER_TIMEOUT', 'VB_NBD_SERVER_TIMEOUT']);
  });

  it('drops a client that leaves a write unfinished, but not one that is idle', async () => {
    await using server = await listen({ stallTimeoutMs: 30 });
    using idle = await openRaw(server.address);
    using stalling = await openRaw(server.address);
    stalling.send(clientRequest({ type: 1, length: 512 }), Buffer.alloc(100));
    assert.equal((await stalling.rest()).length, 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal((await idle.send(clientRequest({ type: 3 })).take(16)).readUInt32BE(4), 0);
    assert.deepEqual(errors, ['VB_NBD_SERVER_TIMEOUT']);
  });

  it('drops a client that takes no replies', async () => {
    await using server = await listen({ stallTimeoutMs: 50 });
    using client = await openRaw(server.address);
    client.socket.pause();
    client.send(...Array.from({ length: 64 }, () => clientRequest({ type: 0, length: SIZE })));
    await settled(server);
    assert.deepEqual(errors, ['VB_NBD_SERVER_TIMEOUT']);
  });

  it('drops a write that is longer than what it announced', async () => {
    await using server = await listen({ maximumRequest: 4096 });
    using client = await openRaw(server.address);
    assert.equal((await client.send(clientRequest({ type: 1, length: 4097 }), Buffer.alloc(10)).rest()).length, 0);
    await settled(server);
    assert.deepEqual(errors, ['VB_NBD_SERVER_PROTOCOL']);
  });

  it('holds no more connections than it may, and serves the next when one is gone', async () => {
    await using server = await listen({ maximumConnections: 5 });
    const held = Array.from({ length: 5 }, () => RawClient.connect(server.address));
    for (const client of held) assert.equal((await client.take(GREETING_LENGTH)).length, GREETING_LENGTH);
    const refused = Array.from({ length: 200 }, () => RawClient.connect(server.address));
    for (const client of refused) assert.equal((await client.rest()).length, 0);
    assert.equal(server.connections, 5);
    held[0]?.socket.destroy();
    while (server.connections === 5) await new Promise(setImmediate);
    using next = await openRaw(server.address);
    assert.equal((await next.send(clientRequest({ type: 0, length: 512 })).take(528)).length, 528);
    for (const client of held) client.socket.destroy();
  });

  it('tells nothing in clear where TLS is required', async () => {
    await using server = await listen({ tls: { kind: 'psk', keys: KEYS }, list: async () => [{ name: 'secret' }] });
    using client = RawClient.connect(server.address).send(clientFlags());
    await client.take(GREETING_LENGTH);
    for (const option of [3, 6, 7, 8, 9, 10, 77]) {
      assert.equal((await takeOptionReply(client.send(clientOption(option)))).type, 0x80000005, `option ${option}`);
    }
    assert.equal((await client.send(clientOption(1)).rest()).length, 0);
  });

  it('drops bytes in clear that came with STARTTLS, and with them the connection', async () => {
    await using server = await listen({ tls: { kind: 'psk', keys: KEYS } });
    using client = RawClient.connect(server.address).send(clientFlags(), clientOption(5), clientOption(8));
    assert.equal((await client.rest()).length, GREETING_LENGTH);
    await settled(server);
    assert.deepEqual(errors, ['VB_NBD_SERVER_PROTOCOL']);
  });

  it('forgets under TLS what was agreed in clear', async () => {
    await using server = await listen({ tls: { kind: 'psk', keys: KEYS }, tlsRequired: false });
    const socket = connect(server);
    const clear = new RawClient(socket).send(clientFlags(), clientOption(8));
    await clear.take(GREETING_LENGTH);
    assert.equal((await takeOptionReply(clear)).type, 1);
    using client = await secured(clear, socket);
    assert.equal((await takeOptionReply(client.send(clientOption(10, metaData('', []))))).type, 0x80000003);
    client.send(clientOption(1), clientRequest({ type: 0, length: 512 }));
    await client.take(10);
    assert.equal((await client.take(16 + 512)).readUInt32BE(0), 0x67446698, 'a simple reply');
  });

  it('drops a client that fails at TLS, with a code', async () => {
    await using server = await listen({ tls: { kind: 'psk', keys: KEYS } });
    using client = RawClient.connect(server.address).send(clientFlags(), clientOption(5));
    await client.take(GREETING_LENGTH + 20);
    client.send(Buffer.from('this is no client hello, and it is long enough'));
    await client.rest();
    await settled(server);
    assert.deepEqual(errors, ['VB_NBD_SERVER_TLS']);
  });
});

function connect(server: NbdServer): net.Socket {
  assert.ok(server.address.kind === 'tcp');
  return net.connect(server.address.port, server.address.host);
}

async function secured(clear: RawClient, socket: net.Socket): Promise<RawClient> {
  await takeOptionReply(clear.send(clientOption(5)));
  socket.removeAllListeners('data');
  const upgraded = tls.connect({
    socket,
    ciphers: 'PSK',
    pskCallback: () => ({ identity: 'alice', psk: KEYS.get('alice') ?? Buffer.alloc(0) }),
    checkServerIdentity: () => undefined,
  });
  await new Promise((resolve, reject) => {
    upgraded.once('secureConnect', resolve);
    upgraded.once('error', reject);
  });
  return new RawClient(upgraded);
}
