import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../../testing/index.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { verifyDisk } from './verify-disk.js';

const MiB = 1024 * 1024;

/** A file that this thread cannot read; workers, which have its number, can. */
const unreadable = (file: FileHandle): FileHandle =>
  new Proxy(file, {
    get: (target, key): unknown => {
      if (key !== 'read') return Reflect.get(target, key);
      return () => Promise.reject(Object.assign(new Error('i/o error'), { code: 'EIO' }));
    },
  });

describe('verifyDisk', () => {
  it('says of an end that cannot be read that it is damaged, and does not fail for it', async () => {
    await using fixture = await RepositoryFixture.create();
    await using _workers = sharedWorkers.lease();
    const fake = new FakeDisk({ id: 'disk-1', name: 'xvda', size: MiB });
    fake.guestWrite(0, randomBytes(MiB));
    const { manifest } = await fixture.backUp(new FakeHypervisor([fake]));
    const disk = manifest.disks[0] ?? assert.fail();
    const chain = join(fixture.repository.location, manifest.chain);
    const [path, indexPath] = [join(chain, disk.file), join(chain, disk.index)];
    await using file = await open(path);
    const parts = { path, indexPath, manifest, disk, withSum: true };
    const found = await verifyDisk({ ...parts, file: unreadable(file) });
    assert.deepEqual(
      found.damage.map(({ code, disk: name, file: of }) => [code, name, of]),
      [['VB_FRAME_DAMAGED', 'xvda', path]],
    );
    assert.match(found.damage[0]?.message ?? '', /STOP frame/);
    assert.equal(found.sha256, null);
    assert.deepEqual((await verifyDisk({ ...parts, file })).damage, []);
  });
});
