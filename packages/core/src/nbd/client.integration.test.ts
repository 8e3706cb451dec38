import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { readUInt64BE } from '../bytes/index.js';
import type { AllocationExtent } from '../extent/index.js';
import { NbdCredentials, NbdFixture, requireNbdServers, requireTools } from '../testing/index.js';
import { NbdClient } from './client.js';
import type { NbdConnectOptions, NbdTls } from './connect-options.js';
import { inspectExport, listExports } from './inspect.js';
import { openNbdTarget } from './target.js';
import { loadNbdUri } from './uri-loader.js';

const MiB = 1024 * 1024;

const optionsOf = (fixture: NbdFixture, more: Partial<NbdConnectOptions> = {}): NbdConnectOptions => ({
  address: fixture.address,
  exportName: '',
  ...more,
});

const connect = (fixture: NbdFixture, more?: Partial<NbdConnectOptions>): Promise<NbdClient> =>
  NbdClient.connect(optionsOf(fixture, more));

/** Every 8 bytes of nbdkit's pattern are their own offset. */
function assertPattern(bytes: Buffer, offset: number): void {
  for (let at = 0; at < bytes.length; at += 8) {
    if (readUInt64BE(bytes, at) !== offset + at) assert.fail(`other bytes at ${offset + at}`);
  }
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

async function allocationOf(client: NbdClient, offset = 0, length = client.size): Promise<AllocationExtent[]> {
  assert.ok(client.allocation !== undefined);
  return collect(client.allocation({ offset, length }));
}

async function assertReads(client: NbdClient): Promise<void> {
  const bytes = Buffer.alloc(client.size);
  await client.read(0, bytes);
  assertPattern(bytes, 0);
}

describe('NbdClient against nbdkit', () => {
  before(function () {
    requireNbdServers(this);
  });

  it('reads a disk byte for byte, many requests at once, over several connections', async () => {
    await using fixture = await NbdFixture.start('pattern');
    await using client = await connect(fixture, { connections: 3 });
    assert.equal(client.connections, 3);
    assert.equal(client.size, 64 * MiB);
    const reads = Array.from({ length: 64 }, async (_, index) => {
      const bytes = Buffer.alloc(MiB);
      await client.read(index * MiB, bytes);
      assertPattern(bytes, index * MiB);
    });
    await Promise.all(reads);
  });

  it('cuts one long read, and reads small and odd pieces', async () => {
    await using fixture = await NbdFixture.start('pattern');
    await using client = await connect(fixture);
    const long = Buffer.alloc(40 * MiB);
    await client.read(8 * MiB, long);
    assertPattern(long, 8 * MiB);
    for (const length of [8, 512, 4096, 64 * 1024, 64 * 1024 + 8, 128 * 1024 - 8]) {
      const bytes = Buffer.alloc(length);
      await client.read(24, bytes);
      assertPattern(bytes, 24);
    }
    await client.read(0, Buffer.alloc(0));
  });

  for (const name of ['no-structured-replies', 'newstyle-unfixed', 'with-zeroes']) {
    it(`speaks with a server of the kind ${name}`, async () => {
      await using fixture = await NbdFixture.start(name);
      await using client = await connect(fixture, { connections: 2 });
      assert.equal(client.allocation, undefined);
      assert.deepEqual(client.metaContexts, []);
      await assertReads(client);
    });
  }

  const refused: readonly (readonly [string, string])[] = [
    ['oldstyle', 'VB_NBD_OLDSTYLE'],
    ['open-refused', 'VB_NBD_EXPORT_NOT_FOUND'],
    ['huge', 'VB_NUMBER_TOO_LARGE'],
  ];
  for (const [name, code] of refused) {
    it(`says ${code} to a server of the kind ${name}`, async () => {
      await using fixture = await NbdFixture.start(name);
      await assert.rejects(connect(fixture), { code });
    });
  }

  it('lists exports, inspects one, and names one that does not exist', async () => {
    await using fixture = await NbdFixture.start('exports');
    const exports = await listExports(optionsOf(fixture));
    assert.deepEqual(exports.map(({ name }) => name).sort(), ['vda', 'vdb']);
    assert.equal((await inspectExport(optionsOf(fixture, { exportName: 'vda' }))).size, MiB);
    await assert.rejects(connect(fixture, { exportName: 'vdz' }), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'VB_NBD_EXPORT_NOT_FOUND');
      return error.message.includes('"vdz"');
    });
  });

  it('keeps a secret export name out of every message', async () => {
    await using fixture = await NbdFixture.start('exports');
    const secret = connect(fixture, { exportName: 'token-of-mine', secretExportName: true });
    await assert.rejects(
      secret,
      (error: Error) => !JSON.stringify([error.message, String(error.cause)]).includes('token'),
    );
  });

  it('ends a handshake that does not', async () => {
    await using fixture = await NbdFixture.start('hang-open');
    await assert.rejects(connect(fixture, { handshakeTimeoutMs: 100 }), { code: 'VB_NBD_HANDSHAKE_TIMEOUT' });
  });

  it('does with fewer connections where the server has no more', async () => {
    await using fixture = await NbdFixture.start('limit-1');
    await using client = await connect(fixture, { connections: 3 });
    assert.equal(client.connections, 1);
    await assertReads(client);
  });

  it('opens several connections only where that is safe', async () => {
    await using fixture = await NbdFixture.start('no-multi-conn');
    await using one = await connect(fixture, { connections: 2 });
    assert.equal(one.connections, 1);
    await using two = await connect(fixture, { connections: 2, assumeMultiConn: true });
    assert.equal(two.connections, 2);
    await assert.rejects(two.write(0, Buffer.alloc(8)), { code: 'VB_INVALID_ARGUMENT' });
  });

  it('knows empty and odd disks', async () => {
    await using empty = await NbdFixture.start('zero-size');
    await using nothing = await connect(empty);
    assert.equal(nothing.size, 0);
    assert.deepEqual(await allocationOf(nothing), []);
    await using odd = await NbdFixture.start('odd-size');
    await using client = await connect(odd);
    assert.equal(client.size, 64 * MiB + 1);
    const last = Buffer.alloc(3);
    await client.read(client.size - 3, last);
    const extents = await allocationOf(client);
    assert.equal(extents.at(-1)?.length, 1);
    await assert.rejects(client.read(client.size - 3, Buffer.alloc(4)), { code: 'VB_INVALID_ARGUMENT' });
  });

  it('takes a hole that is not said to be zero for data', async () => {
    await using fixture = await NbdFixture.start('all-flags');
    await using client = await connect(fixture);
    const KiB64 = 64 * 1024;
    assert.deepEqual(await allocationOf(client), [
      { offset: 0, length: KiB64, kind: 'data' },
      { offset: KiB64, length: KiB64, kind: 'hole' },
      { offset: 2 * KiB64, length: KiB64, kind: 'zero' },
      { offset: 3 * KiB64, length: MiB - 3 * KiB64, kind: 'data' },
    ]);
    assert.deepEqual(await allocationOf(client, 100_000, 10), [{ offset: 100_000, length: 10, kind: 'hole' }]);
  });

  it('maps a fragmented disk and a large one without gaps', async () => {
    for (const name of ['fragmented', 'sparse-1t']) {
      await using fixture = await NbdFixture.start(name);
      await using client = await connect(fixture);
      let position = 0;
      let count = 0;
      for (const { offset, length } of await allocationOf(client)) {
        assert.equal(offset, position);
        position += length;
        count++;
      }
      assert.equal(position, client.size);
      assert.ok(name === 'sparse-1t' ? count === 1 : count > 10_000, `${name} has ${count} extents`);
    }
  });

  it('reports what the server says against a request, and goes on', async () => {
    await using extents = await NbdFixture.start('extents-fail');
    await using first = await connect(extents);
    await assert.rejects(allocationOf(first), { code: 'VB_NBD_REQUEST_FAILED' });
    await first.read(0, Buffer.alloc(4096));
    await using bad = await NbdFixture.start('eio-at-32m');
    await using second = await connect(bad);
    await assert.rejects(second.read(33 * MiB, Buffer.alloc(4096)), { code: 'VB_NBD_REQUEST_FAILED' });
    await second.read(0, Buffer.alloc(4096));
    await using full = await NbdFixture.start('no-space');
    await using third = await connect(full);
    await assert.rejects(third.write(0, Buffer.alloc(4096)), { code: 'VB_NO_SPACE' });
  });

  it('keeps to the block sizes that the server announces', async () => {
    await using fixture = await NbdFixture.start('block-size');
    await using client = await connect(fixture);
    assert.equal(client.limits.alignment, 4096);
    assert.equal(client.limits.maximumRequest, 128 * 1024);
    await assertReads(client);
    await assert.rejects(client.read(512, Buffer.alloc(4096)), { code: 'VB_INVALID_ARGUMENT' });
    await assert.rejects(client.read(0, Buffer.alloc(512)), { code: 'VB_INVALID_ARGUMENT' });
  });

  it('writes, zeroes, trims and flushes', async () => {
    await using fixture = await NbdFixture.start('memory');
    await using client = await connect(fixture, { connections: 2 });
    const bytes = Buffer.alloc(5 * MiB, 0xab);
    await client.write(MiB, bytes);
    await client.zero(2 * MiB, MiB, { fua: true });
    await client.trim(4 * MiB, MiB);
    await client.write(8 * MiB, Buffer.from('durable!'), { fua: true });
    await client.flush();
    const back = Buffer.alloc(6 * MiB);
    await client.read(0, back);
    bytes.fill(0, MiB, 2 * MiB);
    bytes.fill(0, 3 * MiB, 4 * MiB);
    assert.ok(back.equals(Buffer.concat([Buffer.alloc(MiB), bytes])));
    const kinds = (await allocationOf(client, 0, 16 * MiB)).map(({ kind }) => kind);
    assert.ok(kinds.includes('hole') && kinds.includes('data'));
  });

  it('refuses what the server cannot do', async () => {
    await using fixture = await NbdFixture.start('no-flush');
    await using client = await connect(fixture);
    await client.write(0, Buffer.alloc(4096));
    await assert.rejects(client.flush(), { code: 'VB_UNSUPPORTED' });
    await assert.rejects(client.trim(0, 4096), { code: 'VB_UNSUPPORTED' });
    await assert.rejects(client.write(0, Buffer.alloc(4096), { fua: true }), { code: 'VB_UNSUPPORTED' });
    assert.throws(() => client.blockStatus('qemu:dirty-bitmap:b', { offset: 0, length: 1 }), {
      code: 'VB_UNSUPPORTED',
    });
    await using readonly = await NbdFixture.start('readonly');
    await using other = await connect(readonly);
    await assert.rejects(other.write(0, Buffer.alloc(4096)), { code: 'VB_NBD_READ_ONLY' });
  });

  it('ends a request that takes too long, and lets go of its buffer', async () => {
    await using fixture = await NbdFixture.start('hang');
    await using client = await connect(fixture, { requestTimeoutMs: 100 });
    await assert.rejects(client.read(0, Buffer.alloc(4096)), { code: 'VB_NBD_REQUEST_TIMEOUT' });
    const stop = new AbortController();
    const read = client.read(0, Buffer.alloc(4096), { signal: stop.signal });
    stop.abort(new Error('enough'));
    await assert.rejects(read, /enough/);
  });

  it('reads on when a server that was paused goes on', async () => {
    await using fixture = await NbdFixture.start('pause');
    await using client = await connect(fixture, { requestTimeoutMs: 200 });
    const order = async (letter: string): Promise<void> => {
      const control = createConnection(join(fixture.folder, 'control'));
      control.write(letter);
      const [answer] = await once(control, 'data');
      assert.equal(String(answer), letter.toUpperCase());
      control.destroy();
    };
    await assertReads(client);
    await order('p');
    await assert.rejects(client.read(0, Buffer.alloc(4096)), { code: 'VB_NBD_REQUEST_TIMEOUT' });
    await order('r');
    await assertReads(client);
  });

  it('fails when the server is gone and does not come back', async () => {
    await using fixture = await NbdFixture.start('dies-at-32m');
    await using client = await connect(fixture, { reconnects: 1 });
    await client.read(0, Buffer.alloc(MiB));
    await assert.rejects(client.read(40 * MiB, Buffer.alloc(MiB)), { code: 'VB_NBD_DISCONNECTED' });
    await assert.rejects(client.read(0, Buffer.alloc(MiB)), { code: 'VB_NBD_DISCONNECTED' });
  });

  it('sends what it was told to, and asks for no more', async () => {
    await using fixture = await NbdFixture.start('log');
    await using client = await connect(fixture);
    await client.read(0, Buffer.alloc(5 * MiB));
    await client.close();
    const log = await fixture.file('log');
    const counts = [...log.matchAll(/Read id=\d+ offset=0x[0-9a-f]+ count=0x([0-9a-f]+)/g)].map(([, hex]) =>
      Number(`0x${hex}`),
    );
    assert.deepEqual(counts, [2 * MiB, 2 * MiB, MiB]);
  });
});

describe('a restore into an NBD export', () => {
  before(function () {
    requireNbdServers(this);
  });

  for (const name of ['memory', 'no-zero']) {
    it(`writes, zeroes and flushes on ${name}`, async () => {
      await using fixture = await NbdFixture.start(name);
      const specification = { size: MiB, data: [{ offset: 0, length: 4096 }], label: 'a disk' };
      {
        await using target = await openNbdTarget(fixture.uri())(specification);
        assert.equal(target.zeroed, false);
        await target.write(0, Buffer.alloc(4096, 7));
        await target.zero(4096, MiB - 4096);
        await (target.sync?.() ?? assert.fail());
        await target.finish();
      }
      await using client = await connect(fixture);
      const back = Buffer.alloc(MiB, 1);
      await client.read(0, back);
      assert.ok(back.subarray(0, 4096).every((byte) => byte === 7));
      assert.ok(back.subarray(4096).every((byte) => byte === 0));
    });
  }

  it('is refused where the disk does not fit, or nothing can be written', async () => {
    await using small = await NbdFixture.start('no-zero');
    const specification = { size: 2 * MiB, data: [], label: 'a disk' };
    await assert.rejects(openNbdTarget(small.uri())(specification), { code: 'VB_NBD_TARGET_SIZE' });
    await using readonly = await NbdFixture.start('readonly');
    const refusal = { code: 'VB_NBD_READ_ONLY', cure: /for writing/ };
    await assert.rejects(openNbdTarget(readonly.uri())({ ...specification, size: 1 }), refusal);
  });
});

describe('NbdClient against qemu-nbd', () => {
  before(function () {
    requireNbdServers(this);
  });

  it('reads data, zeros and holes', async () => {
    await using fixture = await NbdFixture.start('qemu');
    await using client = await connect(fixture, { exportName: 'vda', connections: 2 });
    assert.equal(client.connections, 2);
    const bytes = Buffer.alloc(64 * MiB, 1);
    await client.read(0, bytes);
    assert.ok(bytes.subarray(0, MiB).every((byte) => byte === 0x55));
    assert.ok(bytes.subarray(MiB, 63 * MiB).every((byte) => byte === 0));
    assert.ok(bytes.subarray(63 * MiB).every((byte) => byte === 0xaa));
    const kinds = (await allocationOf(client)).map(({ kind }) => kind);
    assert.equal(kinds[0], 'data');
    assert.equal(kinds.at(-1), 'data');
    assert.ok(kinds.includes('hole'));
  });

  it('follows every meta context at its own pace', async () => {
    await using fixture = await NbdFixture.start('qemu-bitmap');
    const metaContexts = ['base:allocation', 'qemu:dirty-bitmap:b0', 'qemu:allocation-depth'];
    await using client = await connect(fixture, { exportName: 'vda', metaContexts });
    assert.deepEqual(new Set(client.metaContexts), new Set(metaContexts));
    const range = { offset: 0, length: client.size };
    const dirty = await collect(client.blockStatus('qemu:dirty-bitmap:b0', range));
    assert.equal(dirty.length, 1024);
    assert.ok(
      dirty.every(({ offset, length, flags }, at) => {
        return offset === at * 65_536 && length === 65_536 && flags === (at + 1) % 2;
      }),
    );
    assert.ok((await allocationOf(client)).length > 1);
  });

  it('does not wait for ever where the server takes one client only', async () => {
    await using fixture = await NbdFixture.start('qemu-one-client');
    await using first = await connect(fixture, { exportName: 'vda' });
    const second = connect(fixture, { exportName: 'vda', handshakeTimeoutMs: 200 });
    await assert.rejects(second, { code: 'VB_NBD_HANDSHAKE_TIMEOUT' });
    await first.read(0, Buffer.alloc(4096));
  });
});

describe('NbdClient with TLS', () => {
  let credentials: NbdCredentials | undefined;
  let ca = '';
  let server = '';
  let client: { readonly certificate: string; readonly key: string } = { certificate: '', key: '' };
  let psk: NbdTls = { kind: 'psk', identity: '', key: Buffer.alloc(0) };

  before(async function () {
    requireNbdServers(this);
    requireTools(this, ['openssl']);
    credentials = await NbdCredentials.make();
    const { pki } = credentials;
    const load = (name: string) => readFile(join(pki, name), 'utf8');
    [ca, server] = [await load('ca-cert.pem'), await load('server-cert.pem')];
    client = { certificate: await load('client-cert.pem'), key: await load('client-key.pem') };
    psk = { kind: 'psk', identity: 'alice', key: credentials.key };
  });

  after(async () => credentials?.[Symbol.asyncDispose]());

  const start = (name: string): Promise<NbdFixture> =>
    NbdFixture.start(name, credentials === undefined ? {} : { files: credentials.folder });
  const x509 = (more: object = {}): NbdTls => ({ kind: 'x509', ca, hostname: 'localhost', ...more });

  it('reads over several connections with a certificate that is checked', async () => {
    await using fixture = await start('tls');
    await using reader = await connect(fixture, { tls: x509(), connections: 2 });
    assert.equal(reader.connections, 2);
    await assertReads(reader);
  });

  it('accepts exactly the pinned certificate, whatever its name', async () => {
    await using fixture = await start('tls');
    await using reader = await connect(fixture, { tls: { kind: 'pinned', certificate: server, hostname: 'other' } });
    await assertReads(reader);
    const wrong = connect(fixture, { tls: { kind: 'pinned', certificate: client.certificate } });
    await assert.rejects(wrong, { code: 'VB_NBD_CERTIFICATE' });
  });

  const refused: readonly (readonly [string, string, () => Partial<NbdConnectOptions>, string])[] = [
    ['an unknown authority', 'tls', () => ({ tls: { kind: 'x509', hostname: 'localhost' } }), 'VB_NBD_CERTIFICATE'],
    ['another name', 'tls', () => ({ tls: x509({ hostname: 'other' }) }), 'VB_NBD_CERTIFICATE'],
    ['no name to expect', 'tls', () => ({ tls: x509({ hostname: undefined }) }), 'VB_INVALID_ARGUMENT'],
    ['a client without TLS', 'tls', () => ({}), 'VB_NBD_TLS_REQUIRED'],
    ['a server without TLS', 'pattern', () => ({ tls: x509() }), 'VB_NBD_TLS_UNAVAILABLE'],
    ['a server that has no options', 'newstyle-unfixed', () => ({ tls: x509() }), 'VB_NBD_TLS_UNAVAILABLE'],
    ['a missing client certificate', 'tls-client', () => ({ tls: x509() }), 'VB_NBD_TLS'],
    ['a wrong shared key', 'tls-psk', () => ({ tls: { ...psk, key: Buffer.alloc(32) } as const }), 'VB_NBD_TLS'],
    ['a certificate instead of a shared key', 'tls', () => ({ tls: psk }), 'VB_NBD_CERTIFICATE'],
    ['a shared key instead of a certificate', 'tls-psk', () => ({ tls: x509() }), 'VB_NBD_TLS'],
  ];
  for (const [what, name, more, code] of refused) {
    it(`refuses ${what} with ${code}`, async () => {
      await using fixture = await start(name);
      await assert.rejects(connect(fixture, more()), { code });
    });
  }

  it('is not shown the disk that a server keeps for those who come in clear', async () => {
    await using fixture = await start('tls-fallback');
    await using decoy = await connect(fixture);
    const shown = Buffer.alloc(512);
    await decoy.read(0, shown);
    assert.match(shown.toString(), /^no TLS, no data/);
    const folder = `socket=${fixture.folder}/nbd.sock&tls-certificates=${fixture.folder}/pki`;
    const options = await loadNbdUri(`nbds+unix:///?${folder}&tls-hostname=localhost`);
    await using reader = await NbdClient.connect(options);
    assert.equal(reader.size, MiB);
    await assertReads(reader);
  });

  it('shows its own certificate, to nbdkit and to qemu-nbd', async () => {
    await using kit = await start('tls-client');
    await using first = await connect(kit, { tls: x509(client) });
    await assertReads(first);
    await using qemu = await start('qemu-tls');
    await using second = await connect(qemu, { exportName: 'vda', tls: x509(client) });
    const bytes = Buffer.alloc(MiB);
    await second.read(63 * MiB, bytes);
    assert.ok(bytes.every((byte) => byte === 0xaa));
  });

  it('shares a key with nbdkit and with qemu-nbd', async () => {
    await using kit = await start('tls-psk');
    await using first = await connect(kit, { tls: psk });
    await assertReads(first);
    await using qemu = await start('qemu-tls-psk');
    await using second = await connect(qemu, { exportName: 'vda', tls: psk });
    await second.read(0, Buffer.alloc(MiB));
  });

  it('insists on TLS where the server leaves the choice', async () => {
    await using fixture = await start('tls-optional');
    await using reader = await connect(fixture, { tls: x509() });
    await assertReads(reader);
  });

  it('finds its credentials by URI', async () => {
    await using fixture = await start('tls-client');
    const uri = `nbds+unix:///?socket=${fixture.folder}/nbd.sock&tls-certificates=${fixture.folder}/pki&tls-hostname=localhost`;
    await using first = await NbdClient.connect(await loadNbdUri(uri));
    await assertReads(first);
    await using keyed = await start('tls-psk');
    const other = `nbds+unix://alice@/?socket=${keyed.folder}/nbd.sock&tls-psk-file=${keyed.folder}/keys.psk`;
    await using second = await NbdClient.connect(await loadNbdUri(other));
    await assertReads(second);
    await assert.rejects(loadNbdUri(other.replace('alice', 'mallory')), { code: 'VB_NBD_URI' });
  });
});
