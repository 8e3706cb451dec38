import assert from 'node:assert/strict';
import { listExports, NbdClient, type NbdConnectOptions } from '@vbackup/core';
import { selfSigned } from '../pki/index.js';
import { type XapiNbdDisk, XapiNbdServer, type XapiNbdServerOptions } from './index.js';

const EXPORT_NAME = '/11111111-1111-1111-1111-111111111111?session_id=OpaqueRef:abc';
const MiB = 1024 * 1024;

/** Every 512 bytes begin with their own sector number. */
const disk: XapiNbdDisk = {
  size: 16 * MiB,
  read: async (offset, target) => {
    for (let at = 0; at < target.length; at += 512) target.writeUInt32BE((offset + at) / 512, at);
  },
};

describe('NbdClient and the NBD server of a XenServer host', () => {
  let identity: { readonly certificate: string; readonly key: string };
  let other: { readonly certificate: string; readonly key: string };
  before(async () => {
    identity = await selfSigned({ names: ['host.lab'] });
    other = await selfSigned({ names: ['host.lab'] });
  });

  const listen = (options: Partial<XapiNbdServerOptions> = {}): Promise<XapiNbdServer> =>
    XapiNbdServer.listen({
      ...identity,
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      mode: 'forcedtls',
      open: async (name) => (name === EXPORT_NAME ? disk : null),
      ...options,
    });

  const optionsOf = (server: XapiNbdServer, more: Partial<NbdConnectOptions> = {}): NbdConnectOptions => ({
    address: server.address,
    exportName: EXPORT_NAME,
    secretExportName: true,
    tls: { kind: 'pinned', certificate: identity.certificate, hostname: 'host.lab' },
    assumeMultiConn: true,
    minimumAlignment: 512,
    ...more,
  });

  async function assertReads(client: NbdClient): Promise<void> {
    const bytes = Buffer.alloc(client.size, 0xee);
    await client.read(0, bytes);
    for (let at = 0; at < bytes.length; at += 512) {
      if (bytes.readUInt32BE(at) !== at / 512) assert.fail(`other bytes at ${at}`);
    }
  }

  for (const mode of ['forcedtls', 'notls'] as const) {
    it(`reads over several connections, ${mode}`, async () => {
      await using server = await listen({ mode });
      const clear = mode === 'notls' ? { tls: undefined } : {};
      await using client = await NbdClient.connect(optionsOf(server, { ...clear, connections: 3 }));
      assert.equal(client.connections, 3);
      assert.equal(client.allocation, undefined);
      assert.equal(client.limits.alignment, 512);
      await assertReads(client);
    });
  }

  it('is cut in the middle of reads, comes back, and reads the rest', async () => {
    const onRead: XapiNbdServerOptions['onRead'] = ({ totalReadIndex }) =>
      totalReadIndex === 3 ? { kind: 'cut', afterBytes: 100_000 } : undefined;
    await using server = await listen({ onRead });
    await using client = await NbdClient.connect(optionsOf(server));
    await assertReads(client);
  });

  it('opens lost connections one after the other: on a host their disks are plugged, and parallel plugs race', async () => {
    let opening = 0;
    let most = 0;
    let opened = 0;
    const open = async (): Promise<XapiNbdDisk> => {
      opening += 1;
      most = Math.max(most, opening);
      await new Promise((resolve) => setTimeout(resolve, 50));
      opening -= 1;
      opened += 1;
      return disk;
    };
    await using server = await listen({ open });
    await using client = await NbdClient.connect(optionsOf(server, { connections: 3 }));
    server.cutConnections();
    while (opened < 6) await assertReads(client);
    assert.equal(most, 1);
  });

  it('takes a read that is cut every time for an error of the disk', async () => {
    await using server = await listen({ onRead: ({ offset }) => (offset === MiB ? { kind: 'cut' } : undefined) });
    await using client = await NbdClient.connect(optionsOf(server));
    await assert.rejects(client.read(MiB, Buffer.alloc(512)), { code: 'VB_NBD_REQUEST_FAILED' });
    await client.read(0, Buffer.alloc(512));
  });

  it('ends a read that stalls', async () => {
    await using server = await listen({ onRead: () => ({ kind: 'stall' }) });
    await using client = await NbdClient.connect(optionsOf(server, { requestTimeoutMs: 50 }));
    await assert.rejects(client.read(0, Buffer.alloc(512)), { code: 'VB_NBD_REQUEST_TIMEOUT' });
  });

  it('does not show its session to an impostor, nor in clear', async () => {
    let asked = 0;
    const open = async (): Promise<XapiNbdDisk> => {
      asked++;
      return disk;
    };
    await using impostor = await listen({ open, presentIdentity: () => other });
    await assert.rejects(NbdClient.connect(optionsOf(impostor)), { code: 'VB_NBD_CERTIFICATE' });
    await using plain = await listen({ open, mode: 'notls' });
    await assert.rejects(NbdClient.connect(optionsOf(plain)), { code: 'VB_NBD_TLS_UNAVAILABLE' });
    assert.equal(asked, 0);
    await using strict = await listen();
    await assert.rejects(NbdClient.connect(optionsOf(strict, { tls: undefined })), { code: 'VB_NBD_TLS_REQUIRED' });
  });

  it('names neither export nor session when the host closes the connection', async () => {
    await using server = await listen({ open: async () => null });
    await assert.rejects(NbdClient.connect(optionsOf(server)), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'VB_NBD_EXPORT_REFUSED');
      return !error.message.includes('OpaqueRef');
    });
    await assert.rejects(listExports(optionsOf(server)), { code: 'VB_NBD_LIST_REFUSED' });
  });
});
