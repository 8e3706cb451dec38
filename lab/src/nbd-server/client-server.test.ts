import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  inspectExport,
  listExports,
  type NbdAddress,
  NbdClient,
  type NbdExport,
  NbdServer,
  type NbdServerOptions,
  type NbdTls,
  VBackupError,
} from '@vbackup/core';
import { MemoryExport } from '@vbackup/core/testing';
import fc from 'fast-check';
import { makeAuthority } from '../pki/index.js';

const SIZE = 4 * 1024 * 1024;

describe('the NBD client and the NBD server', () => {
  for (const connections of [1, 4]) {
    it(`keep a disk as a buffer in memory would, over ${connections} connection(s)`, async function () {
      this.timeout(60_000);
      const extent = fc
        .tuple(fc.nat(SIZE - 1), fc.integer({ min: 1, max: 300_000 }))
        .map(([offset, length]) => ({ offset, length: Math.min(length, SIZE - offset) }));
      const operation = fc.record({ what: fc.constantFrom('write', 'zero', 'read'), extent, fua: fc.boolean() });
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
          await using server = await listen(new MemoryExport({ size: SIZE }));
          await using client = await NbdClient.connect({ address: server.address, exportName: '', connections });
          const model = Buffer.alloc(SIZE);
          for (const { what, extent: at, fua } of operations) {
            const part = model.subarray(at.offset, at.offset + at.length);
            if (what === 'write') {
              randomBytes(at.length).copy(part);
              await client.write(at.offset, part, { fua });
            } else if (what === 'zero') await client.zero(at.offset, part.fill(0).length, { fua });
            else assert.ok((await readAt(client, at.offset, at.length)).equals(part));
          }
          assert.ok((await readAt(client, 0, SIZE)).equals(model));
        }),
        { numRuns: 20 },
      );
    });
  }

  it('agree on what an export is, and on which there are', async () => {
    const disk = new MemoryExport({
      name: 'disk',
      description: 'a disk',
      size: SIZE,
      minimumBlock: 512,
      maximumBlock: 65_536,
    });
    await using server = await listen(disk, { list: async () => [{ name: 'disk', description: 'a disk' }] });
    assert.deepEqual(await listExports({ address: server.address, exportName: '' }), [
      { name: 'disk', description: 'a disk' },
    ]);
    assert.equal((await inspectExport({ address: server.address, exportName: 'disk' })).size, SIZE);
    await using client = await NbdClient.connect({ address: server.address, exportName: 'disk' });
    assert.deepEqual([client.size, client.limits.alignment, client.limits.maximumRequest], [SIZE, 512, 65_536]);
    assert.deepEqual(client.capabilities, {
      readOnly: false,
      flush: true,
      fua: true,
      trim: true,
      zero: true,
      multiConn: true,
    });
  });

  it('walk several meta contexts, each at its own pace', async () => {
    const steps: Record<string, number> = { 'test:small': 4096, 'test:large': SIZE };
    const disk: NbdExport = {
      name: '',
      size: SIZE,
      readOnly: true,
      read: async (_offset, target) => void target.fill(0),
      metaContexts: Object.keys(steps),
      // One extent only, up to the next multiple of the context's step; its flags count the steps.
      status: async (context, range) => {
        const step = steps[context] ?? 0;
        const index = Math.floor(range.offset / step);
        return [{ length: (index + 1) * step - range.offset, flags: index }];
      },
    };
    await using server = await listen(disk);
    const metaContexts = Object.keys(steps);
    await using client = await NbdClient.connect({ address: server.address, exportName: '', metaContexts });
    const whole = { offset: 0, length: SIZE };
    const small = await collect(client.blockStatus('test:small', whole));
    assert.deepEqual(
      small.map((part) => [part.offset, part.flags]),
      Array.from({ length: 1024 }, (_, index) => [index * 4096, index]),
    );
    assert.deepEqual(await collect(client.blockStatus('test:large', whole)), [
      { ...whole, flags: 0, context: 'test:large' },
    ]);
  });

  it('let each other in over TLS, and nobody else', async () => {
    const [authority, other] = await Promise.all([makeAuthority({ keyType: 'ec' }), makeAuthority({ keyType: 'ec' })]);
    const identity = await authority.issue({ names: ['localhost'], addresses: ['127.0.0.1'] });
    const alice = await authority.issue({ names: ['alice'], clientAuth: true });
    const mallory = await other.issue({ names: ['alice'], clientAuth: true });
    const key = randomBytes(32);
    const x509 = { kind: 'x509', ...identity } as const;
    const mutual = { ...x509, ca: authority.certificate, requireClientCertificate: true } as const;
    const psk = { kind: 'psk', keys: new Map([['alice', key]]) } as const;
    const trust = { kind: 'x509', ca: authority.certificate, hostname: 'localhost' } as const;
    const rows: readonly (readonly [string, NonNullable<NbdServerOptions['tls']>, NbdTls, boolean])[] = [
      ['the authority', x509, trust, true],
      ['another authority', x509, { ...trust, ca: other.certificate }, false],
      ['another name', x509, { ...trust, hostname: 'elsewhere.lab' }, false],
      ['the pinned certificate', x509, { kind: 'pinned', certificate: identity.certificate }, true],
      ['another pinned certificate', x509, { kind: 'pinned', certificate: alice.certificate }, false],
      ['a client certificate', mutual, { ...trust, certificate: alice.certificate, key: alice.key }, true],
      ['no client certificate', mutual, trust, false],
      ['a foreign client certificate', mutual, { ...trust, certificate: mallory.certificate, key: mallory.key }, false],
      ['the key', psk, { kind: 'psk', identity: 'alice', key }, true],
      ['another key', psk, { kind: 'psk', identity: 'alice', key: randomBytes(32) }, false],
      ['another identity', psk, { kind: 'psk', identity: 'bob', key }, false],
    ];
    for (const [what, serverTls, clientTls, admitted] of rows) {
      await using server = await listen(new MemoryExport({ size: SIZE }), { tls: serverTls });
      const opened = readFirst(server.address, clientTls);
      if (admitted) assert.deepEqual(await opened, Buffer.alloc(512), what);
      else
        await assert.rejects(
          opened,
          (error) => error instanceof VBackupError && error.code.startsWith('VB_NBD_'),
          what,
        );
    }
    await using server = await listen(new MemoryExport({ size: SIZE }), { tls: x509 });
    await assert.rejects(readFirst(server.address, undefined), { code: 'VB_NBD_TLS_REQUIRED' });
    await using clear = await listen(new MemoryExport({ size: SIZE }));
    await assert.rejects(readFirst(clear.address, trust), { code: 'VB_NBD_TLS_UNAVAILABLE' });
  });

  it('go on after the server was restarted', async () => {
    const disk = new MemoryExport({ size: SIZE });
    await disk.write(0, Buffer.alloc(512, 7));
    const first = await listen(disk);
    await using client = await NbdClient.connect({ address: first.address, exportName: '' });
    await readAt(client, 0, 512);
    await first.close();
    await using second = await listen(disk, { address: first.address });
    assert.deepEqual(await readAt(client, 0, 512), Buffer.alloc(512, 7));
    assert.equal(second.connections, 1);
  });
});

function listen(disk: NbdExport, options: Partial<NbdServerOptions> = {}): Promise<NbdServer> {
  return NbdServer.listen({ address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, open: async () => disk, ...options });
}

async function readAt(client: NbdClient, offset: number, length: number): Promise<Buffer> {
  const target = Buffer.alloc(length, 0xee);
  await client.read(offset, target);
  return target;
}

async function readFirst(address: NbdAddress, tls: NbdTls | undefined): Promise<Buffer> {
  await using client = await NbdClient.connect({ address, exportName: '', tls, reconnects: 0 });
  return await readAt(client, 0, 512);
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
