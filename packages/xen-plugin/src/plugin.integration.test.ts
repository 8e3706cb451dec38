import assert from 'node:assert/strict';
import { NbdClient } from '@vbackup/core';
import { container } from 'tsyringe';
import { NbdOpenerToken, OpenChangeTrackerToken, OpenXapiTransportToken, xenPlugin } from './index.js';
import { LabPool, request } from './testing/lab-pool.js';
import { HttpsTransport } from './transport/https-transport.js';

describe('the parts of the xen plugin', () => {
  it('are those that a program registered before', async () => {
    await using pool = await LabPool.start();
    const own = container.createChildContainer();
    const used = new Set<string>();
    const extents = [{ offset: 65_536, length: 65_536 }];
    own.register(OpenXapiTransportToken, {
      useValue: (endpoint, options) => {
        used.add('transport');
        return new HttpsTransport(endpoint, options);
      },
    });
    own.register(OpenChangeTrackerToken, { useValue: () => ({ changes: () => Promise.resolve(extents) }) });
    own.register(NbdOpenerToken, {
      useValue: (options) => {
        used.add('nbd');
        return NbdClient.connect(options);
      },
    });
    xenPlugin.register(own);
    const { url, user, password, fingerprint } = pool.host;
    const values = { url, user, password, fingerprint: `sha256:${fingerprint}` };
    await using xen = await xenPlugin.connect(values, { container: own });
    const guest = await xen.find(pool.addDisk());
    const since = await (async () => {
      await using full = await xen.snapshot(guest, request());
      await full.commit();
      return full.checkpoint;
    })();
    await using snapshot = await xen.snapshot(guest, request({ since }));
    const [disk = assert.fail()] = snapshot.disks;
    assert.ok(disk.changes.kind === 'since');
    assert.deepEqual(disk.changes.extents, extents);
    await using reader = await disk.open({ connections: 1 });
    await reader.read(0, Buffer.alloc(512));
    assert.deepEqual(used, new Set(['transport', 'nbd']));
  });
});
