import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clip, splitAt } from '../../extent/index.js';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../../testing/index.js';
import type { Manifest } from '../index.js';

const KiB = 1024;
const PAGE = 64 * KiB;
const MiB = 1024 * KiB;
const SIZE = 4 * MiB + 512;

describe('an increment by a forgetful record of changes', function () {
  this.timeout(60_000);
  let fixture: RepositoryFixture;
  let disk: FakeDisk;
  let hypervisor: FakeHypervisor;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: SIZE });
    hypervisor = new FakeHypervisor([disk]);
    hypervisor.forgetful = { blockLength: PAGE };
    hypervisor.allocation = (range) =>
      [...splitAt(clip([range], { offset: 0, length: disk.size }), PAGE)].map((page) => {
        const zero = disk
          .content()
          .subarray(page.offset, page.offset + page.length)
          .every((byte) => byte === 0);
        return { ...page, kind: zero ? 'hole' : 'data' };
      });
    disk.guestWrite(0, randomBytes(SIZE));
    await fixture.backUp(hypervisor);
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  /** The disk is made smaller and as large as it was, and nothing records it. */
  const cut = (from: number): void => disk.secretWrite(from, Buffer.alloc(disk.size - from));
  const dataOf = ({ disks }: Manifest): number => disks[0]?.readLength ?? assert.fail();

  it('holds what was cut off, as zeros that nobody reads, and an audit of all of it accuses nobody', async () => {
    cut(2 * MiB);
    disk.guestWrite(3 * MiB, randomBytes(512));
    const { manifest, warnings } = await fixture.backUp(hypervisor, 'auto', { auditShares: 1 });
    assert.deepEqual([manifest.level, warnings], ['inc', []]);
    assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
    assert.equal(dataOf(manifest), PAGE);
    assert.equal(hypervisor.openReaders, 0);
    const { manifest: next } = await fixture.backUp(hypervisor);
    assert.deepEqual([next.level, dataOf(next)], ['inc', 0]);
  });

  it('copies nothing where nothing was cut off', async () => {
    const { manifest } = await fixture.backUp(hypervisor, 'diff');
    assert.deepEqual([manifest.level, dataOf(manifest)], ['diff', 0]);
  });

  it('holds a disk that was cut and made larger than it was', async () => {
    cut(MiB);
    disk.resize(SIZE + MiB);
    disk.guestWrite(SIZE, Buffer.alloc(MiB));
    const { manifest } = await fixture.backUp(hypervisor);
    assert.equal(manifest.level, 'inc');
    assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
  });

  it('is no increment where the chain that it would stand on cannot be opened', async () => {
    const [full = assert.fail()] = (await fixture.repository.catalogue()).backups;
    await truncate(join(fixture.repository.location, full.chain, full.disks[0]?.index ?? ''), 10);
    const { manifest } = await fixture.backUp(hypervisor);
    assert.deepEqual([manifest.level, manifest.reason], ['full', 'chain-damaged']);
    assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
  });

  it('stores anew what it cannot compare', async () => {
    // The last page with data is a part of a frame: only its bytes tell.
    disk.guestWrite(4 * MiB, Buffer.alloc(512));
    const { manifest: full } = await fixture.backUp(hypervisor, 'full', { compression: 'none' });
    const path = join(fixture.repository.location, full.chain, full.disks[0]?.file ?? '');
    const stream = await readFile(path);
    const at = stream.indexOf(disk.content().subarray(4 * MiB - PAGE, 4 * MiB - PAGE + 64));
    stream.writeUInt8(255 - stream.readUInt8(at), at);
    await writeFile(path, stream);
    const { manifest } = await fixture.backUp(hypervisor);
    assert.deepEqual([manifest.level, dataOf(manifest)], ['inc', PAGE]);
  });
});
