import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../../testing/index.js';
import type { Manifest } from '../manifest.js';
import { FrameCache } from './frame-cache.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const SIZE = 8 * MiB;

describe('an image of a chain', () => {
  let fixture: RepositoryFixture;
  let content: Buffer;
  let manifest: Manifest;

  before(async () => {
    fixture = await RepositoryFixture.create();
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: SIZE });
    const hypervisor = new FakeHypervisor([disk]);
    disk.guestWrite(0, randomBytes(5 * MiB));
    await fixture.backUp(hypervisor);
    for (let page = 0; page < 8; page += 1) disk.guestWrite(2 * MiB + page * 128 * KiB, randomBytes(64 * KiB));
    ({ manifest } = await fixture.backUp(hypervisor));
    content = disk.content();
  });
  after(() => fixture[Symbol.asyncDispose]());

  it('lends what it would read, from memory that a read does not change', async () => {
    using cache = new FrameCache({ bytes: 4 * MiB, longest: MiB });
    await using image = await fixture.repository.openImage(manifest, 'xvda', { cache });
    let lent = 0;
    for (let round = 0; round < 20; round += 1) {
      const offset = randomInt(SIZE);
      const length = Math.min(SIZE - offset, 1 + randomInt(2 * MiB));
      using loan = await image.lend?.({ offset, length });
      // Everything else passes through the cache meanwhile.
      await image.read(0, Buffer.alloc(SIZE));
      if (loan === undefined) continue;
      lent += 1;
      assert.ok(Buffer.concat(loan.parts).equals(content.subarray(offset, offset + length)), `${length} at ${offset}`);
    }
    assert.ok(lent > 3, `${lent} loans`);
  });

  it('lends zeros, and not what lies in many pieces', async () => {
    using cache = new FrameCache({ bytes: 64 * MiB, longest: MiB });
    await using image = await fixture.repository.openImage(manifest, 'xvda', { cache });
    {
      using zeros = await image.lend?.({ offset: 5 * MiB, length: 3 * MiB });
      assert.ok(zeros !== undefined && Buffer.concat(zeros.parts).equals(Buffer.alloc(3 * MiB)));
    }
    using pieces = await image.lend?.({ offset: 2 * MiB, length: MiB });
    assert.equal(pieces, undefined);
  });

  it('lends nothing of a range with a damaged frame, and keeps no other frame of it', async () => {
    const [{ file } = { file: '' }] = manifest.disks;
    const path = join(fixture.repository.location, manifest.chain, file);
    const sound = await readFile(path);
    const damaged = await open(path, 'r+');
    await damaged.write(Buffer.from('!'), 0, 1, Math.floor(sound.length / 2));
    try {
      using cache = new FrameCache({ bytes: 2 * MiB, longest: MiB });
      await using image = await fixture.repository.openImage(manifest, 'xvda', { cache });
      const failures: unknown[] = [];
      for (let offset = MiB; offset < 4 * MiB; offset += 128 * KiB) {
        const range = { offset: offset - 64 * KiB, length: 128 * KiB };
        const lending = image.lend?.(range).then((loan) => loan?.[Symbol.dispose]());
        await lending?.catch((error: unknown) => failures.push(error));
      }
      assert.ok(failures.length > 0);
      for (const failure of failures) assert.match(String(failure), /digest differs|cannot be decoded|header differs/);
      // Nothing is lent any more: all of the cache can be had.
      const all = ['a', 'b'].map((key) => cache.use(key, { length: MiB, load: async () => {}, use: () => {} }));
      await Promise.all(all);
    } finally {
      await damaged.write(sound, 0, sound.length, 0);
      await damaged.close();
    }
  });

  it('closes its files when nothing is read from them any more', async () => {
    const bytes = Buffer.alloc(SIZE);
    let reading: Promise<void>;
    {
      await using image = await fixture.repository.openImage(manifest, 'xvda');
      reading = image.read(0, bytes);
      image.prefetch?.({ offset: 0, length: SIZE });
      await image.read(0, Buffer.alloc(1));
    }
    const outcome = await reading.then(
      () => 'read',
      (error: unknown) => String(error),
    );
    // What was begun is read to its end; what was not finds the file closed, never another one.
    if (outcome === 'read') assert.ok(bytes.equals(content));
    else assert.match(outcome, /cannot be read|EBADF|closed/);
  });

  it('goes on when its files are removed', async () => {
    await using image = await fixture.repository.openImage(manifest, 'xvda');
    await rm(join(fixture.repository.location, manifest.chain), { recursive: true });
    const bytes = Buffer.alloc(SIZE);
    await image.read(0, bytes);
    assert.ok(bytes.equals(content));
  });
});
