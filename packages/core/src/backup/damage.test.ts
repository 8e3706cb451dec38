import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { copyFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '../errors/index.js';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../testing/index.js';
import { type Damage, type Manifest, openFileTarget, runRestore, runVerify } from './index.js';
import { sharedWorkers } from './workers/worker-pool.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const TRIES = 6;

describe('damage of a repository', function () {
  this.timeout(60_000);
  let fixture: RepositoryFixture;
  let full: Manifest;
  let inc: Manifest;

  before(async () => {
    fixture = await RepositoryFixture.create();
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 4 * MiB });
    const hypervisor = new FakeHypervisor([disk]);
    disk.guestWrite(MiB, randomBytes(2 * MiB));
    full = (await fixture.backUp(hypervisor)).manifest;
    disk.guestWrite(MiB, randomBytes(64 * KiB));
    inc = (await fixture.backUp(hypervisor)).manifest;
  });
  after(() => fixture[Symbol.asyncDispose]());

  const absolute = (path: string): string => join(fixture.repository.location, full.chain, path);

  /** Changes a file, looks, and puts the file back. */
  const whileDamaged = async (path: string, damage: (bytes: Buffer) => Promise<void>, look: () => Promise<void>) => {
    const bytes = await readFile(absolute(path));
    await damage(Buffer.from(bytes));
    try {
      await look();
    } finally {
      await writeFile(absolute(path), bytes);
    }
  };

  const flip = (path: string, at: number) => async (bytes: Buffer) => {
    bytes.writeUInt8((bytes.readUInt8(at) + 1 + randomInt(255)) % 256, at);
    await writeFile(absolute(path), bytes);
  };

  const codes = (damage: readonly Damage[]): readonly string[] =>
    [...new Set(damage.map(({ code }) => code))].toSorted();

  it('is found at a random byte of every file of a backup', async () => {
    for (const manifest of [full, inc]) {
      for (const { path, size } of manifest.files) {
        for (let round = 0; round < TRIES; round += 1) {
          const at = randomInt(size);
          await whileDamaged(path, flip(path, at), async () => {
            const found = await fixture.damage();
            assert.ok(
              found.some(({ code, file }) => code === 'VB_FILE_DIGEST' && file === absolute(path)),
              `${path} at ${at}`,
            );
          });
        }
      }
    }
  });

  it('is found at a random byte of every manifest, and hides no other backup', async () => {
    for (const { id } of [full, inc]) {
      const path = join('.vbackup', `${id}.json`);
      const { length } = await readFile(absolute(path));
      for (let round = 0; round < TRIES; round += 1) {
        const at = randomInt(length);
        await whileDamaged(path, flip(path, at), async () => {
          const { backups, damaged } = await fixture.repository.catalogue();
          assert.deepEqual([backups.length, damaged.length], [1, 1], `byte ${at} of ${path}`);
          const summary = await runVerify({ repository: fixture.repository });
          const expected = ['VB_MANIFEST_DAMAGED', ...(id === full.id ? ['VB_CHAIN_BROKEN'] : [])];
          assert.deepEqual(codes(summary.damage), expected.toSorted());
        });
      }
    }
  });

  it('of a payload names the range of the disk and the place in the file', async () => {
    const { file } = full.disks[0] ?? assert.fail();
    const bytes = await readFile(absolute(file));
    const offset = bytes.indexOf('data ');
    await whileDamaged(file, flip(file, offset + 40 + 5000), async () => {
      const frame = (await fixture.damage()).find(({ code }) => code.startsWith('VB_FRAME_'));
      assert.deepEqual(
        [frame?.disk, frame?.extent, frame?.offset, frame?.file],
        ['xvda', { offset: MiB, length: MiB }, offset, absolute(file)],
      );
    });
    // What the decoder says counts from the beginning of the file too: here, the flags behind the magic of LZ4, without a version.
    const noVersion = async (changed: Buffer): Promise<void> => {
      changed.writeUInt8(0, offset + 40 + 4);
      await writeFile(absolute(file), changed);
    };
    await whileDamaged(file, noVersion, async () => {
      const frame = (await fixture.damage()).find(({ code }) => code === 'VB_FRAME_DAMAGED');
      assert.match(frame?.message ?? '', new RegExp(`LZ4 frame .* \\(at byte ${offset + 40 + 4}\\)`));
    });
    // A frame's header is not under its digest, and is found as well.
    await whileDamaged(file, flip(file, offset + 10), async () => {
      const frame = (await fixture.damage()).find(({ code }) => code === 'VB_FRAME_DAMAGED');
      assert.deepEqual(frame?.extent, { offset: MiB, length: MiB });
    });
  });

  it('by cutting or removing a file has its own code', async () => {
    for (const { path, size } of inc.files) {
      const cut = async () => truncate(absolute(path), size - 1 - randomInt(size - 1));
      await whileDamaged(path, cut, async () => {
        assert.ok(
          (await fixture.damage()).some(({ code, file }) => code === 'VB_FILE_SIZE' && file === absolute(path)),
        );
      });
      const remove = async () => rm(absolute(path));
      await whileDamaged(path, remove, async () => {
        assert.deepEqual(codes(await fixture.damage()), ['VB_FILE_MISSING']);
      });
    }
  });

  it('is not denied when a thread died that looked for it', async () => {
    await using own = await RepositoryFixture.create();
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 16 * MiB });
    disk.guestWrite(0, randomBytes(16 * MiB));
    await own.backUp(new FakeHypervisor([disk]));
    const decode = sharedWorkers.decode.bind(sharedWorkers);
    let frames = 0;
    sharedWorkers.decode = (work) => {
      frames += 1;
      if (frames > 1) return decode(work);
      return Promise.reject(new VBackupError('VB_INTERNAL', 'a worker thread ended before its work'));
    };
    try {
      await assert.rejects(own.damage(), { code: 'VB_INTERNAL' });
    } finally {
      Reflect.deleteProperty(sharedWorkers, 'decode');
    }
  });

  it('is not claimed of a file when the thread died that hashed it', async () => {
    const dead = new VBackupError('VB_INTERNAL', 'a worker thread ended before its work');
    sharedWorkers.digestFile = () => Promise.reject(dead);
    try {
      await assert.rejects(fixture.damage(), dead);
    } finally {
      Reflect.deleteProperty(sharedWorkers, 'digestFile');
    }
  });

  const restore = (manifest: Manifest) =>
    runRestore({
      repository: fixture.repository,
      manifest,
      disk: 'xvda',
      openTarget: openFileTarget(join(fixture.folder, 'restored')),
    });

  it('stops a restore before anything is written when a link is missing or has another size', async () => {
    const { file } = full.disks[0] ?? assert.fail();
    let opened = false;
    const openTarget = async () => {
      opened = true;
      throw new Error('opened');
    };
    for (const harm of [async () => rm(absolute(file)), async () => truncate(absolute(file), 100)]) {
      await whileDamaged(file, harm, async () => {
        const job = { repository: fixture.repository, manifest: inc, disk: 'xvda', openTarget };
        await assert.rejects(runRestore(job), { code: 'VB_CHAIN_BROKEN', message: new RegExp(full.id) });
      });
    }
    await whileDamaged(
      join('.vbackup', `${full.id}.json`),
      async () => rm(absolute(join('.vbackup', `${full.id}.json`))),
      async () => {
        const job = { repository: fixture.repository, manifest: inc, disk: 'xvda', openTarget };
        await assert.rejects(runRestore(job), { code: 'VB_CHAIN_BROKEN', message: new RegExp(full.id) });
      },
    );
    assert.ok(!opened);
  });

  it('of a frame stops a restore, names the range, and leaves no target', async () => {
    const { file } = full.disks[0] ?? assert.fail();
    const { length } = await readFile(absolute(file));
    await whileDamaged(file, flip(file, length - 2000), async () => {
      await assert.rejects(restore(inc), /disk xvda: bytes 2097152 to 3145727 in .*xvda\.full\.data at byte \d+/);
      await assert.rejects(readFile(join(fixture.folder, 'restored')), { code: 'ENOENT' });
      await assert.rejects(readFile(join(fixture.folder, 'restored.partial')), { code: 'ENOENT' });
    });
    const summary = await restore(inc);
    assert.equal(summary.size, 4 * MiB);
    assert.ok((await readFile(join(fixture.folder, 'restored'))).equals(await fixture.imageOf(inc)));
  });

  it('by files of another backup, sound in themselves, stops a restore', async () => {
    await using own = await RepositoryFixture.create();
    const places: string[][] = [];
    const manifests: Manifest[] = [];
    for (const id of ['one', 'two']) {
      const disk = new FakeDisk({ id: `disk-${id}`, name: 'xvda', size: MiB });
      disk.guestWrite(0, randomBytes(MiB));
      const hypervisor = new FakeHypervisor([disk], { guest: { id } });
      const { manifest } = await own.backUp(hypervisor, 'full', { compression: 'none' });
      const { file, index } = manifest.disks[0] ?? assert.fail();
      places.push([file, index].map((path) => join(own.repository.location, manifest.chain, path)));
      manifests.push(manifest);
    }
    const [target, source] = [places[0] ?? [], places[1] ?? []];
    const [manifest] = manifests;
    assert.ok(manifest !== undefined);
    await own.imageOf(manifest);
    for (const [at, path] of target.entries()) await copyFile(source[at] ?? '', path);
    await assert.rejects(own.imageOf(manifest), { code: 'VB_INDEX_DAMAGED', message: /not the one/ });
  });

  it('of the newest chain makes the next backup a full, with the reason', async () => {
    await using own = await RepositoryFixture.create();
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: MiB });
    const hypervisor = new FakeHypervisor([disk]);
    const { manifest } = await own.backUp(hypervisor);
    await rm(join(own.repository.location, manifest.chain, manifest.disks[0]?.file ?? ''));
    await assert.rejects(own.backUp(hypervisor, 'inc'), { code: 'VB_CHAIN_BROKEN', message: /is missing/ });
    const next = await own.backUp(hypervisor);
    assert.deepEqual([next.manifest.level, next.manifest.reason], ['full', 'chain-damaged']);
    assert.deepEqual(
      next.warnings.map(({ code }) => code),
      ['VB_CHAIN_ABANDONED'],
    );
    assert.notEqual(next.manifest.chain, manifest.chain);
  });
});
