import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openQcow2Target } from '../qemu/index.js';
import {
  FakeDisk,
  FakeHypervisor,
  type MountedFileSystem,
  mountFileSystem,
  RepositoryFixture,
  requireTools,
} from '../testing/index.js';
import { openFileTarget, runRestore } from './index.js';

const MiB = 1024 * 1024;

describe('a place without space', () => {
  let mounted: MountedFileSystem;

  before(function () {
    mounted = mountFileSystem(this, 'tmpfs', { size: 6 * MiB });
  });
  after(() => mounted?.[Symbol.dispose]());

  it('ends the backup with VB_NO_SPACE, leaves nothing of it, and the backups before it whole', async () => {
    await using fixture = await RepositoryFixture.create(mounted.path);
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 16 * MiB });
    const hypervisor = new FakeHypervisor([disk]);
    disk.guestWrite(0, randomBytes(MiB));
    await fixture.backUp(hypervisor);
    const before = await fixture.everything();
    disk.guestWrite(0, randomBytes(12 * MiB));
    await assert.rejects(fixture.backUp(hypervisor), { code: 'VB_NO_SPACE' });
    assert.deepEqual(await fixture.everything(), before);
    assert.equal(hypervisor.snapshots.size, 0);
    assert.deepEqual(await fixture.damage(), []);
  });

  it('ends a restore to a qcow2 with VB_NO_SPACE, says which, and leaves no file', async function () {
    requireTools(this, ['qemu-img', 'qemu-nbd']);
    await using fixture = await RepositoryFixture.create();
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 16 * MiB });
    disk.guestWrite(0, randomBytes(12 * MiB));
    const { manifest } = await fixture.backUp(new FakeHypervisor([disk]));
    const path = join(mounted.path, 'restored.qcow2');
    const job = { repository: fixture.repository, manifest, disk: 'xvda', openTarget: openQcow2Target(path) };
    const told = { code: 'VB_NO_SPACE', message: /restored\.qcow2.*: no space is left/, cure: /free space/ };
    await assert.rejects(runRestore(job), told);
    assert.deepEqual(await readdir(mounted.path), []);
  });

  it('ends a restore with VB_NO_SPACE, and leaves no file', async () => {
    await using fixture = await RepositoryFixture.create();
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 16 * MiB });
    disk.guestWrite(0, randomBytes(12 * MiB));
    const { manifest } = await fixture.backUp(new FakeHypervisor([disk]));
    const openTarget = openFileTarget(join(mounted.path, 'restored'));
    const job = { repository: fixture.repository, manifest, disk: 'xvda', openTarget };
    await assert.rejects(runRestore(job), { code: 'VB_NO_SPACE' });
    assert.deepEqual(await readdir(mounted.path), []);
  });
});
