import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import tls from 'node:tls';
import { selfSigned } from '../pki/index.js';
import { XapiNbdServer, type XapiNbdServerOptions } from './index.js';
import { probe } from './prober.js';

const EXPORT_NAME = '/11111111-1111-1111-1111-111111111111?session_id=OpaqueRef:abc';
const SIZE = 2 * 1024 ** 3;
const FIXTURES = new URL('../../../packages/core/fixtures/xapi-nbd/', import.meta.url);

describe('the NBD server of a XenServer host', () => {
  let identity: { readonly certificate: string; readonly key: string };
  before(async () => {
    identity = await selfSigned({ names: ['host.lab'], addresses: ['127.0.0.1'] });
  });

  const listen = (options: Partial<XapiNbdServerOptions> = {}): Promise<XapiNbdServer> =>
    XapiNbdServer.listen({
      ...identity,
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      mode: 'notls',
      open: async (name) =>
        name === EXPORT_NAME ? { size: SIZE, read: async (_offset, target) => void target.fill(0) } : null,
      ...options,
    });

  for (const [file, mode] of [
    ['plain.txt', 'notls'],
    ['tls.txt', 'forcedtls'],
  ] as const) {
    it(`answers like the real engine, line by line: ${file}`, async function () {
      this.timeout(60_000);
      await using server = await listen({ mode, offer: [EXPORT_NAME] });
      const { host, port } = tcp(server);
      const lines = await probe({ host, port, tls: mode === 'forcedtls', exportName: EXPORT_NAME });
      const golden = await readFile(new URL(file, FIXTURES), 'utf8');
      assert.deepEqual(normalise(lines), normalise(golden.trimEnd().split('\n')));
    });
  }

  it('refuses everything but STARTTLS in clear where TLS is demanded', async () => {
    await using server = await listen({ mode: 'forcedtls' });
    for (const option of [3, 6, 7, 8, 10]) {
      const answer = await exchange(server, Buffer.concat([word(1), optionBytes(option)]), 38);
      assert.equal(answer.readUInt32BE(18 + 12), 0x80000005, `option ${option}`);
    }
    for (const option of [1, 2]) {
      const answer = await exchange(server, Buffer.concat([word(1), optionBytes(option, EXPORT_NAME)]));
      assert.equal(answer.length, 18, 'nothing but the greeting');
    }
    assert.equal((await exchange(server, Buffer.concat([word(0), optionBytes(3)]))).length, 18, 'not fixed newstyle');
  });

  it('drops a client that sends bytes in clear behind STARTTLS', async () => {
    await using server = await listen({ mode: 'forcedtls' });
    const answer = await exchange(server, Buffer.concat([word(1), optionBytes(5), optionBytes(3)]));
    assert.ok(answer.length <= 18 + 20, 'no answer to what came behind');
  });

  it('speaks TLS 1.2 with its two suites and no other', async () => {
    await using server = await listen({ mode: 'forcedtls' });
    const agreed = await negotiateTls(server, {});
    assert.equal(agreed.protocol, 'TLSv1.2');
    assert.match(agreed.cipher, /^ECDHE-RSA-AES(128-GCM-SHA256|256-GCM-SHA384)$/);
    await assert.rejects(negotiateTls(server, { minVersion: 'TLSv1.3' }));
    await assert.rejects(negotiateTls(server, { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-CHACHA20-POLY1305' }));
    assert.equal(
      (await negotiateTls(server, { ciphers: 'ECDHE-RSA-AES256-GCM-SHA384' })).cipher,
      'ECDHE-RSA-AES256-GCM-SHA384',
    );
  });

  it('refuses LIST where it offers nothing, writes with EPERM, and a flag as an unknown command', async () => {
    await using server = await listen();
    const listed = await exchange(server, Buffer.concat([word(1), optionBytes(3)]), 38);
    assert.equal(listed.readUInt32BE(18 + 12), 0x80000002);
    const open = Buffer.concat([word(1), optionBytes(1, EXPORT_NAME)]);
    const read = requestBytes({ type: 0, offset: 0, length: 512 });
    const afterWrite = await exchange(
      server,
      Buffer.concat([open, requestBytes({ type: 1, offset: 0, length: 512 }), read]),
    );
    assert.equal(afterWrite.readUInt32BE(18 + 134 + 4), 1);
    assert.equal(afterWrite.length, 18 + 134 + 16, 'the session ended');
    const flagged = requestBytes({ flags: 4, type: 0, offset: 0, length: 512 });
    const afterFlag = await exchange(server, Buffer.concat([open, flagged, read]));
    assert.equal(afterFlag.readUInt32BE(18 + 134 + 4), 22);
    assert.equal(afterFlag.length, 18 + 134 + 16);
  });

  it('lets sixteen connections in and closes the next before its greeting, until one leaves', async () => {
    await using server = await listen();
    const clients = await Promise.all(Array.from({ length: 16 }, () => connected(server)));
    assert.equal((await exchange(server, Buffer.alloc(0))).length, 0);
    clients.pop()?.destroy();
    while (server.connections === 16) await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await exchange(server, Buffer.alloc(0), 18)).length, 18);
    for (const client of clients) client.destroy();
  });

  it('refuses without a greeting where no network has the purpose', async () => {
    await using server = await listen({ mode: () => 'refuse' });
    assert.equal((await exchange(server, Buffer.alloc(0))).length, 0);
  });

  it('closes the disk once, however the connection ends', async () => {
    let closed = 0;
    await using server = await listen({
      open: async () => ({
        size: SIZE,
        read: async () => {
          throw new Error('EIO');
        },
        close: async () => void (closed += 1),
      }),
    });
    const open = Buffer.concat([word(1), optionBytes(1, EXPORT_NAME)]);
    const failed = await exchange(server, Buffer.concat([open, requestBytes({ type: 0, offset: 0, length: 512 })]));
    assert.equal(failed.readUInt32BE(18 + 134 + 4), 0, 'the header says success');
    assert.equal(failed.length, 18 + 134 + 16, 'and the connection ends without data');
    assert.equal(closed, 1);
    await exchange(server, Buffer.concat([open, requestBytes({ type: 2, offset: 0, length: 0 })]));
    assert.equal(closed, 2);
  });

  it('makes the faults that a test asks for', async () => {
    const faults = [{ kind: 'corrupt' }, { kind: 'delay', delayMs: 1 }, { kind: 'cut', afterBytes: 100 }] as const;
    await using server = await listen({ onRead: ({ readIndex }) => faults[readIndex] });
    const read = requestBytes({ type: 0, offset: 0, length: 512 });
    const answer = await exchange(server, Buffer.concat([word(1), optionBytes(1, EXPORT_NAME), read, read, read]));
    const replies = answer.subarray(18 + 134);
    assert.equal(replies.readUInt8(16), 255, 'corrupt');
    assert.equal(replies.readUInt8(16 + 512 + 16), 0, 'delayed and whole');
    assert.equal(replies.length, 2 * (16 + 512) + 16 + 100, 'cut');
  });

  it('presents another certificate when a test asks for it', async () => {
    const impostor = await selfSigned({ names: ['host.lab'] });
    await using server = await listen({
      mode: 'forcedtls',
      presentIdentity: (connectionIndex) => (connectionIndex === 1 ? impostor : undefined),
    });
    const first = await negotiateTls(server, {});
    const second = await negotiateTls(server, {});
    assert.notEqual(first.fingerprint, second.fingerprint);
    assert.equal(second.fingerprint, impostor.fingerprint);
  });
});

/** A reset and an orderly end are a race of the kernel's in the real engine too: bytes unread at close make a reset. */
const normalise = (lines: readonly string[]): string[] =>
  lines.map((line) => line.replace(/ERR ECONNRESET (read|write) ECONNRESET$/, 'ERR  closed'));

function tcp(server: XapiNbdServer): { host: string; port: number } {
  assert.ok(server.address.kind === 'tcp');
  return server.address;
}

async function connected(server: XapiNbdServer): Promise<net.Socket> {
  const { host, port } = tcp(server);
  const socket = net.connect(port, host);
  await new Promise((resolve, reject) => {
    socket.once('data', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** Sends everything at once and gives what came back until the end, or until there is `enough` of it. */
async function exchange(server: XapiNbdServer, bytes: Buffer, enough = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const { host, port } = tcp(server);
  const socket = net.connect(port, host);
  socket.write(bytes);
  const chunks: Buffer[] = [];
  let length = 0;
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= enough) resolve();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
  socket.destroy();
  return Buffer.concat(chunks);
}

async function negotiateTls(server: XapiNbdServer, options: tls.ConnectionOptions) {
  const socket = await connected(server);
  socket.write(Buffer.concat([word(1), optionBytes(5)]));
  await new Promise((resolve) => socket.once('data', resolve));
  socket.removeAllListeners();
  const secured = tls.connect({ socket, rejectUnauthorized: false, ...options });
  try {
    await new Promise((resolve, reject) => {
      secured.once('secureConnect', resolve);
      secured.once('error', reject);
    });
    return {
      protocol: secured.getProtocol(),
      cipher: secured.getCipher().name,
      fingerprint: secured.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase(),
    };
  } finally {
    secured.destroy();
  }
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

const optionBytes = (option: number, data = ''): Buffer =>
  Buffer.concat([Buffer.from('IHAVEOPT'), word(option), word(data.length), Buffer.from(data)]);

function requestBytes(request: { flags?: number; type: number; offset: number; length: number }): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(0x25609513, 0);
  bytes.writeUInt16BE(request.flags ?? 0, 4);
  bytes.writeUInt16BE(request.type, 6);
  bytes.writeBigUInt64BE(BigInt(request.offset), 16);
  bytes.writeUInt32BE(request.length, 24);
  return bytes;
}
