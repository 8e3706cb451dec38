import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../../testing/index.js';
import type { Manifest } from '../index.js';

const KiB = 1024;
const PAGE = 64 * KiB;
const MiB = 1024 * KiB;

describe('a guest whose hypervisor does not track changes', function () {
  this.timeout(60_000);
  let fixture: RepositoryFixture;
  let disk: FakeDisk;
  let hypervisor: FakeHypervisor;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 8 * MiB });
    hypervisor = new FakeHypervisor([disk], { tracking: 'none' });
    disk.guestWrite(MiB, randomBytes(3 * MiB));
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const allocated = (): void => {
    const content = disk.content();
    hypervisor.allocation = function* ({ offset, length }) {
      for (let at = offset; at < offset + length; at += PAGE) {
        const zero = content.subarray(at, at + PAGE).equals(Buffer.alloc(PAGE));
        yield { offset: at, length: PAGE, kind: zero ? 'zero' : 'data' };
      }
    };
  };

  const fileOf = ({ chain, disks }: Manifest, what: 'file' | 'index'): string =>
    join(fixture.repository.location, chain, disks[0]?.[what] ?? assert.fail());

  const flip = async (path: string, at: number): Promise<void> => {
    const bytes = await readFile(path);
    bytes.writeUInt8(255 - bytes.readUInt8(at), at);
    await writeFile(path, bytes);
  };

  it('gets an increment that stores nothing, and reads what is allocated, while nothing changes', async () => {
    allocated();
    await fixture.backUp(hypervisor);
    const { manifest, warnings } = await fixture.backUp(hypervisor, 'inc');
    const [record] = manifest.disks;
    assert.deepEqual([record?.level, record?.method, record?.reason], ['inc', 'digests', undefined]);
    assert.deepEqual([record?.dataLength, record?.readLength], [0, 3 * MiB]);
    assert.deepEqual(warnings, []);
  });

  it('gets increments and differentials of the pages that differ', async () => {
    await fixture.backUp(hypervisor);
    disk.guestWrite(2 * MiB + 70_000, randomBytes(10));
    disk.guestWrite(3 * MiB, Buffer.alloc(MiB));
    const { manifest: diff } = await fixture.backUp(hypervisor, 'diff');
    assert.equal(diff.disks[0]?.dataLength, PAGE + MiB);
    disk.guestWrite(6 * MiB, randomBytes(10));
    const { manifest: inc } = await fixture.backUp(hypervisor, 'inc');
    assert.equal(inc.disks[0]?.dataLength, 2 * PAGE + MiB);
    assert.ok((await fixture.imageOf(inc)).equals(disk.content()));
  });

  it('has what it zeroed read as zero, whoever says that it is zero', async () => {
    await fixture.backUp(hypervisor);
    disk.guestWrite(MiB, Buffer.alloc(PAGE));
    allocated();
    const { manifest: told } = await fixture.backUp(hypervisor, 'inc');
    assert.equal(told.disks[0]?.dataLength, PAGE);
    hypervisor.allocation = undefined;
    disk.guestWrite(2 * MiB, Buffer.alloc(PAGE));
    const { manifest: read } = await fixture.backUp(hypervisor, 'inc');
    assert.equal(read.disks[0]?.dataLength, PAGE);
    assert.ok((await fixture.imageOf(read)).equals(disk.content()));
  });

  it('has a range stored anew, with a warning, where the parent is damaged and the digest does not decide', async () => {
    const { manifest: full } = await fixture.backUp(hypervisor, 'auto', { compression: 'none' });
    const path = fileOf(full, 'file');
    const stream = await readFile(path);
    for (const at of [MiB, 2 * MiB]) {
      await flip(path, stream.indexOf(disk.content().subarray(at, at + 64)));
      disk.guestWrite(at + 5 * PAGE, randomBytes(100));
    }
    const { manifest, warnings } = await fixture.backUp(hypervisor, 'inc');
    assert.equal(manifest.disks[0]?.dataLength, 2 * MiB);
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['VB_FRAME_DIGEST'],
    );
    assert.match(warnings[0]?.message ?? '', /disk xvda: bytes (1048576|2097152) to \d+ in .*full\.data/);
    assert.ok((await fixture.imageOf(manifest)).equals(disk.content()), 'the damaged frames are covered');
  });

  for (const [what, harm] of [
    ['an index that is damaged', (full: Manifest) => flip(fileOf(full, 'index'), 100)],
    ['a file that is cut', (full: Manifest) => truncate(fileOf(full, 'file'), 1000)],
  ] as const) {
    it(`gets a full where the chain has ${what}, and no increment by force`, async () => {
      const { manifest: full } = await fixture.backUp(hypervisor);
      await harm(full);
      const before = await fixture.files();
      await assert.rejects(fixture.backUp(hypervisor, 'inc'), { code: 'VB_CHAIN_BROKEN', message: /chain-damaged/ });
      assert.deepEqual(await fixture.files(), before);
      const { manifest, warnings } = await fixture.backUp(hypervisor);
      assert.deepEqual([manifest.level, manifest.reason], ['full', 'chain-damaged']);
      assert.deepEqual(
        warnings.map(({ code }) => code),
        ['VB_CHAIN_ABANDONED'],
      );
      assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
      assert.equal((await fixture.backUp(hypervisor)).manifest.level, 'inc');
    });
  }

  it('is confirmed when all is read and every reader closed, and before anything is committed', async () => {
    const steps: string[] = [];
    hypervisor.onStep = async (step) => {
      if (step !== 'confirm') return;
      const { backups } = await fixture.repository.catalogue();
      steps.push(`${hypervisor.openReaders} open, ${backups.length} committed`);
    };
    await fixture.backUp(hypervisor);
    await fixture.backUp(hypervisor);
    assert.deepEqual(steps, ['0 open, 0 committed', '0 open, 1 committed']);
  });

  for (const step of ['open', 'read', 'confirm'] as const) {
    it(`keeps what it has when its increment fails at ${step}`, async () => {
      await fixture.backUp(hypervisor);
      disk.guestWrite(MiB, randomBytes(2 * MiB));
      const before = await fixture.everything();
      hypervisor.onStep = (at) => {
        if (at === step) throw new Error('fault');
      };
      await assert.rejects(fixture.backUp(hypervisor, 'inc'), /fault/);
      assert.deepEqual(await fixture.everything(), before);
      hypervisor.onStep = () => undefined;
      const { manifest } = await fixture.backUp(hypervisor, 'inc');
      assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
      assert.equal(hypervisor.openReaders, 0);
    });
  }
});
