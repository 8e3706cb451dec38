import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { cp, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OpenTarget, TargetSpecification } from '../hypervisor/index.js';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../testing/index.js';
import {
  type Manifest,
  openFileTarget,
  openRepository,
  type Repository,
  runBackup,
  runRestore,
  runVerify,
} from './index.js';

const MiB = 1024 * 1024;

/** A target in memory that holds garbage, and notes how it is written. */
class MemoryTarget {
  readonly calls: string[] = [];
  image = Buffer.alloc(0);
  specification: TargetSpecification | null = null;

  open(more: { readonly zeroed: boolean; readonly extra?: number; readonly maximumRequest?: number }): OpenTarget {
    return async (specification) => {
      this.specification = specification;
      this.image = Buffer.alloc(specification.size + (more.extra ?? 0), more.zeroed ? 0 : 255);
      return {
        size: this.image.length,
        zeroed: more.zeroed,
        limits: { alignment: 1, maximumRequest: more.maximumRequest ?? MiB, maximumInFlight: 1 },
        write: async (offset, bytes) => {
          this.calls.push(`write ${offset} ${bytes.length}`);
          bytes.copy(this.image, offset);
        },
        zero: async (offset, length) => {
          this.calls.push(`zero ${offset} ${length}`);
          this.image.fill(0, offset, offset + length);
        },
        finish: async () => {
          this.calls.push('finish');
        },
        [Symbol.asyncDispose]: async () => {
          this.calls.push('dispose');
        },
      };
    };
  }
}

describe('runRestore', () => {
  let fixture: RepositoryFixture;
  let disk: FakeDisk;
  let manifest: Manifest;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    disk = new FakeDisk({ id: 'disk-1', name: 'xvda', label: 'root', size: 4 * MiB });
    disk.guestWrite(2 * MiB, randomBytes(MiB));
    manifest = (await fixture.backUp(new FakeHypervisor([disk]))).manifest;
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const job = (openTarget: OpenTarget) => ({ repository: fixture.repository, manifest, disk: 'xvda', openTarget });

  it('tells the target what comes, and leaves out zeros where it reads as zero', async () => {
    const target = new MemoryTarget();
    const summary = await runRestore(job(target.open({ zeroed: true })));
    assert.deepEqual(target.specification, {
      size: 4 * MiB,
      data: [{ offset: 2 * MiB, length: MiB }],
      label: 'fake root',
    });
    assert.deepEqual(target.calls, [`write ${2 * MiB} ${MiB}`, 'finish', 'dispose']);
    assert.equal(summary.written, MiB);
    assert.ok(target.image.equals(disk.content()));
  });

  it('writes zeros where the target holds something else, in requests as long as it takes', async () => {
    const target = new MemoryTarget();
    await runRestore(job(target.open({ zeroed: false, maximumRequest: MiB / 2, extra: 512 })));
    assert.deepEqual(target.calls, [
      `zero 0 ${2 * MiB}`,
      `write ${2 * MiB} ${MiB / 2}`,
      `write ${2.5 * MiB} ${MiB / 2}`,
      `zero ${3 * MiB} ${MiB}`,
      'finish',
      'dispose',
    ]);
    assert.ok(target.image.subarray(0, 4 * MiB).equals(disk.content()));
  });

  it('leaves out what an increment zeroed: the file takes no blocks for it, and a device gets zeros', async () => {
    const hypervisor = new FakeHypervisor([disk]);
    disk.guestWrite(0, randomBytes(4 * MiB));
    await fixture.backUp(hypervisor, 'full');
    disk.guestWrite(MiB / 2, Buffer.alloc(3 * MiB));
    for (const compression of ['lz4', 'none'] as const) {
      manifest = (await fixture.backUp(hypervisor, 'diff', { compression })).manifest;
      assert.equal(manifest.disks[0]?.dataLength, 3 * MiB);
      const path = join(fixture.folder, compression);
      await runRestore(job(openFileTarget(path)));
      assert.ok((await readFile(path)).equals(disk.content()));
      assert.ok((await stat(path)).blocks * 512 < 2 * MiB);
      const target = new MemoryTarget();
      await runRestore(job(target.open({ zeroed: false })));
      assert.ok(target.calls.includes(`zero ${MiB / 2} ${3 * MiB}`), String(target.calls));
      assert.ok(target.image.equals(disk.content()));
    }
  });

  it('refuses a disk that the backup has not, and a target that is too small', async () => {
    const target = new MemoryTarget();
    const openTarget = target.open({ zeroed: true, extra: -1 });
    await assert.rejects(runRestore({ ...job(openTarget), disk: 'xvdz' }), { code: 'VB_BACKUP_NOT_FOUND' });
    await assert.rejects(runRestore(job(openTarget)), { code: 'VB_TARGET_TOO_SMALL' });
    assert.deepEqual(target.calls, ['dispose']);
  });

  it('is stopped by its signal and leaves no file; so is a verification', async () => {
    const stop = new AbortController();
    const onEvent = (): void => stop.abort();
    const path = join(fixture.folder, 'restored');
    const stopped = { ...job(openFileTarget(path)), signal: stop.signal, onEvent };
    await assert.rejects(runRestore(stopped), { code: 'VB_ABORTED' });
    assert.deepEqual(await readdir(fixture.folder), ['repository']);
    const again = new AbortController();
    const verify = { repository: fixture.repository, signal: again.signal, onEvent: () => again.abort() };
    await assert.rejects(runVerify(verify), { code: 'VB_ABORTED' });
  });
});

/** By the folder of the fixture: SHA-256 of the disk at each backup. */
const REPOSITORIES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  // Its indexes have SHA-256 of each frame.
  v1: {
    full: 'c2abfb2b85d3795ffb59a431327328d69ba9a8f47d0d8dfaa133db90f14bb1a7',
    inc: '442bdbee9543cfc9ee3b646e40efa026336764007ed6bce05a908911976377ff',
  },
  'v1-blake3': {
    full: 'a1ec7f4b0bd95ce9c8186bb47a7f339b0379f2b7e829db194fd83cb900a03dc0',
    inc: '2832c7835a76b4fd3f26b952a3ec6019f138698072bdee99e20bbb209518c122',
  },
};

for (const [name, images] of Object.entries(REPOSITORIES)) {
  describe(`the repository ${name}`, () => {
    const FIXTURE = fileURLToPath(new URL(`../../fixtures/repository/${name}`, import.meta.url));
    let fixture: RepositoryFixture;
    let repository: Repository;

    beforeEach(async () => {
      fixture = await RepositoryFixture.create();
      await cp(FIXTURE, join(fixture.folder, 'copy'), { recursive: true });
      repository = await openRepository(join(fixture.folder, 'copy'));
    });
    afterEach(() => fixture[Symbol.asyncDispose]());

    async function imageOf(manifest: Manifest): Promise<Buffer> {
      await using image = await repository.openImage(manifest, 'xvda');
      const bytes = Buffer.alloc(image.size);
      await image.read(0, bytes);
      return bytes;
    }

    it('stays readable', async () => {
      const { checked, damage } = await runVerify({ repository });
      assert.deepEqual([...damage, ...checked.flatMap((one) => one.damage)], []);
      assert.deepEqual(
        checked.map(({ manifest }) => manifest.level),
        ['full', 'inc'],
      );
      for (const { manifest } of checked) {
        const bytes = await imageOf(manifest);
        assert.equal(createHash('sha256').update(bytes).digest('hex'), images[manifest.level]);
        // Any range, without the rest.
        await using image = await repository.openImage(manifest, 'xvda');
        const part = Buffer.alloc(1000);
        await image.read(65_000, part);
        assert.ok(part.equals(bytes.subarray(65_000, 66_000)));
      }
    });

    it('takes increments by digests, and holds all its points in time then', async () => {
      const newest = (await repository.catalogue()).backups.at(-1) ?? assert.fail();
      const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: newest.disks[0]?.size ?? 0 });
      disk.guestWrite(0, await imageOf(newest));
      disk.guestWrite(70_000, Buffer.from('changed'));
      const { id } = newest.guest;
      const hypervisor = new FakeHypervisor([disk], { guest: { id }, tracking: 'none' });
      const job = { hypervisor, hypervisorName: 'fake', repository, selector: id, level: 'inc' as const };
      const { manifest } = await runBackup(job);
      assert.deepEqual([manifest.parent, manifest.disks[0]?.dataLength], [newest.id, 64 * 1024]);
      const { checked, damage } = await runVerify({ repository });
      assert.deepEqual([...damage, ...checked.flatMap((one) => one.damage)], []);
      assert.ok((await imageOf(manifest)).equals(disk.content()));
      for (const backup of checked.slice(0, 2).map((one) => one.manifest)) {
        assert.equal(
          createHash('sha256')
            .update(await imageOf(backup))
            .digest('hex'),
          images[backup.level],
        );
      }
    });
  });
}
