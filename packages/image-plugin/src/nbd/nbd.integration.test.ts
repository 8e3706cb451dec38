import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '@vbackup/core';
import { NbdCredentials, NbdFixture, requireNbdServers, requireTools } from '@vbackup/core/testing';
import { container } from 'tsyringe';
import { diskOf, ImageLab, KIB, type LabJob, MIB, qemuIo, run, sha256, writeAt } from '../testing/image-lab.js';
import { Server } from '../testing/server.js';
import { nbdPlugin } from './plugin.js';

const UNIT = 64 * KIB;
const SIZE = 16 * MIB + 512;

describe('NBD exports', function () {
  this.timeout(120_000);
  let lab: ImageLab;
  let path: string;
  const backUp = (selector: string, more: Partial<LabJob> = {}): Promise<Manifest> =>
    lab.backUp({ plugin: nbdPlugin, selector, ...more });

  before(function () {
    requireNbdServers(this);
  });
  beforeEach(async () => {
    lab = await ImageLab.create();
    path = lab.path('disk.raw');
    await writeFile(path, '');
    await truncate(path, SIZE);
    await writeAt(path, 3 * MIB, randomBytes(2 * MIB));
  });
  afterEach(() => lab[Symbol.asyncDispose]());

  it('are backed up without their holes, then what differs, and come back', async () => {
    await using server = await Server.nbdkit('--readonly', 'file', path);
    const full = await backUp(server.uri('vda'));
    assert.deepEqual(
      [full.level, diskOf(full).name, diskOf(full).label, diskOf(full).size],
      ['full', 'vda', 'vda', SIZE],
    );
    assert.equal(full.guest.id, server.uri('vda'));
    assert.equal(diskOf(full).readLength, 2 * MIB);
    await writeAt(path, 9 * MIB, randomBytes(10));
    const increment = await backUp(server.uri('vda'));
    assert.deepEqual([increment.level, diskOf(increment).method], ['inc', 'digests']);
    assert.equal(diskOf(increment).dataLength, UNIT);
    assert.equal(await lab.digestOf(increment), sha256(await readFile(path)));
    assert.deepEqual(await lab.fixture.damage(), []);
    assert.deepEqual(lab.warned, []);
  });

  it('are read over TLS, and are the same ones then', async function () {
    requireTools(this, ['openssl']);
    await using credentials = await NbdCredentials.make();
    const tls = ['--tls=on', `--tls-certificates=${credentials.pki}`];
    await using server = await Server.nbdkit('--readonly', ...tls, 'file', path);
    const full = await backUp(server.uri(''));
    const uri = server.uri('', `&tls-certificates=${credentials.pki}&tls-hostname=localhost`);
    const increment = await backUp(uri, { connections: 3 });
    assert.deepEqual([increment.level, increment.guest.id], ['inc', full.guest.id]);
    assert.ok(!JSON.stringify(increment).includes(credentials.pki));
    assert.equal(await lab.digestOf(increment), sha256(await readFile(path)));
    await using other = await NbdCredentials.make();
    await assert.rejects(backUp(server.uri('', `&tls-certificates=${other.pki}&tls-hostname=localhost`)), {
      code: 'VB_NBD_CERTIFICATE',
    });
  });

  it('may be of a server that takes one client, and ends with it', async () => {
    await run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', path, lab.path('a.qcow2'));
    await using server = await Server.qemu('--read-only', '--format=qcow2', lab.path('a.qcow2'));
    const manifest = await backUp(server.uri(), { connections: 8 });
    assert.equal(await lab.digestOf(manifest), sha256(await readFile(path)));
  });

  it('may be of a server that promises several connections and takes one', async () => {
    await using fixture = await NbdFixture.start('limit-1');
    const manifest = await backUp(fixture.uri(), { connections: 4 });
    assert.equal(diskOf(manifest).readLength, diskOf(manifest).size);
  });

  it('may know nothing of their extents, and want large blocks', async () => {
    for (const name of ['no-extents', 'block-size', 'no-structured-replies', 'odd-size']) {
      await using fixture = await NbdFixture.start(name);
      await backUp(fixture.uri());
      const increment = await backUp(fixture.uri());
      assert.deepEqual([increment.level, diskOf(increment).dataLength], ['inc', 0], name);
    }
  });

  it('that change their size meanwhile leave no backup', async () => {
    await using server = await Server.nbdkit('--readonly', 'file', path);
    const hypervisor = await nbdPlugin.connect({}, { container });
    const request = { backupId: 'b', repositoryId: 'r', since: null, keepCheckpoint: true };
    const journal = { record: async () => undefined };
    const guest = await hypervisor.find(server.uri());
    await using snapshot = await hypervisor.snapshot(guest, { ...request, journal });
    await snapshot.confirm?.();
    await truncate(path, SIZE + MIB);
    await assert.rejects(async () => snapshot.confirm?.(), {
      code: 'VB_NBD_EXPORT_CHANGED',
      message: new RegExp(`has ${SIZE + MIB} now`),
    });
  });

  const faults: readonly (readonly [string, string])[] = [
    ['eio-at-32m', 'VB_NBD_REQUEST_FAILED'],
    ['open-refused', 'VB_NBD_EXPORT_NOT_FOUND'],
    ['extents-fail', 'VB_NBD_REQUEST_FAILED'],
  ];
  for (const [name, code] of faults) {
    it(`of a server of the kind ${name} end with ${code}, and leave no backup`, async () => {
      await using fixture = await NbdFixture.start(name);
      await assert.rejects(backUp(fixture.uri()), { code });
      assert.deepEqual((await lab.fixture.repository.catalogue()).backups, []);
    });
  }

  it('are refused for a URI of no use, before anything is done', async () => {
    await assert.rejects(backUp('disk.raw'), { code: 'VB_NBD_URI' });
    await assert.rejects(backUp('nbds://h/x?tls-verify-peer=0'), { code: 'VB_NBD_URI' });
    await assert.rejects(backUp(`nbd+unix:///?socket=${lab.path('none')}`), { code: 'VB_NBD_CONNECT' });
  });

  for (const context of ['base:allocation', 'qemu:allocation-depth', 'b0', 'qemu:dirty-bitmap:', 'other:dirty']) {
    it(`are not read by what ${context} calls dirty: nobody says what its flags mean`, async () => {
      await using server = await Server.nbdkit('--readonly', 'file', path);
      const options = { 'dirty-bitmap': context };
      await assert.rejects(
        async () => {
          await backUp(server.uri(), { options });
          await writeAt(path, MIB + 4096, randomBytes(4096));
          const increment = await backUp(server.uri(), { options });
          assert.equal(await lab.digestOf(increment), sha256(await readFile(path)), 'a write is missing');
        },
        { code: 'VB_PLUGIN_OPTION', cure: /qemu:dirty-bitmap:NAME/ },
      );
    });
  }

  it('are looked at by the doctor', async () => {
    const statesOf = async (options: Record<string, string>): Promise<Record<string, string>> => {
      const hypervisor = await nbdPlugin.connect(options, { container });
      const states: Record<string, string> = {};
      for await (const { name, state } of hypervisor.diagnose?.() ?? []) states[name] = state;
      return states;
    };
    assert.deepEqual(await statesOf({}), { export: 'warning' });
    assert.deepEqual(await statesOf({ uri: `nbd+unix:///?socket=${lab.path('none')}` }), { export: 'bad' });
    await using server = await Server.nbdkit('--readonly', 'file', path);
    const good = { export: 'good', connections: 'good', 'base:allocation': 'good' };
    assert.deepEqual(await statesOf({ uri: server.uri() }), good);
    const asked = { uri: server.uri(), 'dirty-bitmap': 'qemu:dirty-bitmap:b0' };
    assert.deepEqual(await statesOf(asked), { ...good, 'qemu:dirty-bitmap:b0': 'bad' });
  });

  describe('with a dirty bitmap', () => {
    const options = { 'dirty-bitmap': 'qemu:dirty-bitmap:b0' };
    let image: string;
    /** One server after the other, always on the same socket, so that it is the same export. */
    const serve = async (bitmap: string | null, more: Partial<LabJob> = {}): Promise<Manifest> => {
      const socket = join(lab.folder, 'nbd.sock');
      const server = await Server.qemu(
        '--read-only',
        '--format=qcow2',
        '--shared=4',
        `--socket=${socket}`,
        ...(bitmap === null ? [] : [`--bitmap=${bitmap}`]),
        image,
      );
      await using _server = server;
      return await backUp(`nbd+unix:///?socket=${socket}`, { options, ...more });
    };
    const content = async (): Promise<string> => {
      await run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', image, lab.path('plain'));
      return sha256(await readFile(lab.path('plain')));
    };

    beforeEach(async () => {
      image = lab.path('a.qcow2');
      await run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', path, image);
      await run('qemu-img', 'bitmap', '--add', '-g', String(UNIT), image, 'b0');
      await qemuIo('qcow2', image, 'write -P 1 1M 64k');
    });

    it('are read only where it is dirty', async () => {
      await serve('b0');
      assert.deepEqual(lab.warned, []);
      await qemuIo('qcow2', image, 'write -P 2 8M 4k');
      const increment = await serve('b0');
      const { method, readLength, dataLength } = diskOf(increment);
      assert.deepEqual([increment.level, method, readLength, dataLength], ['inc', 'dirty-bitmap', 2 * UNIT, UNIT]);
      assert.equal(await lab.digestOf(increment), await content());
      assert.deepEqual(lab.warned, []);
    });

    it('are followed through cuts, of which QEMU notes nothing in the clusters that lie over another image', async () => {
      const below = image;
      await qemuIo('qcow2', below, 'write -P 4 0 8M');
      image = lab.path('over.qcow2');
      await run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', below, '-F', 'qcow2', image);
      await run('qemu-img', 'bitmap', '--add', '-g', String(UNIT), image, 'b0');
      await qemuIo('qcow2', image, 'write -P 1 1M 64k');
      await serve('b0');
      for (const size of ['3147264', '6292992', '15730176']) {
        await run('qemu-img', 'resize', '-q', '--shrink', image, size);
        await run('qemu-img', 'resize', '-q', image, String(SIZE));
      }
      const increment = await serve('b0');
      assert.deepEqual([diskOf(increment).method, lab.warned], ['dirty-bitmap', []]);
      assert.equal(await lab.digestOf(increment), await content());
    });

    it('are compared as a whole if it was cleared, or is not offered', async () => {
      await serve('b0');
      await qemuIo('qcow2', image, 'write -P 2 8M 4k');
      await run('qemu-img', 'bitmap', '--clear', image, 'b0');
      await qemuIo('qcow2', image, 'write -P 2 9M 4k');
      for (const [bitmap, reason] of [
        ['b0', /cleared or replaced/],
        [null, /does not offer/],
        ['b0', /did not see it/],
      ] as const) {
        const increment = await serve(bitmap);
        assert.deepEqual([increment.level, diskOf(increment).method], ['inc', 'digests']);
        assert.equal(await lab.digestOf(increment), await content());
        assert.match(lab.warnings[0]?.message ?? '', reason);
      }
    });
  });
});
