import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FakeDisk, FakeHypervisor } from '../testing/index.js';
import { findBackup, type Manifest, openRepository, type Repository, runBackup, runVerify } from './index.js';
import type { RequestedLevel } from './manifest.js';

const MiB = 1024 * 1024;

describe('a chain of backups', () => {
  let folder: string;
  let repository: Repository;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-engine-'));
    repository = await openRepository(join(folder, 'repository'), { create: true });
  });

  afterEach(() => rm(folder, { recursive: true }));

  const backUp = async (hypervisor: FakeHypervisor, level: RequestedLevel = 'auto') =>
    runBackup({ hypervisor, hypervisorName: 'fake', repository, selector: 'fake', level });

  const imageOf = async (manifest: Manifest, disk: string): Promise<Buffer> => {
    await using image = await repository.openImage(manifest, disk);
    const bytes = Buffer.alloc(image.size);
    await image.read(0, bytes);
    return bytes;
  };

  for (const level of ['inc', 'diff'] as const) {
    it(`reads back every point in time: full, then ${level}`, async () => {
      const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 5 * MiB + 512 });
      const hypervisor = new FakeHypervisor([disk]);
      disk.guestWrite(MiB + 4096, randomBytes(2 * MiB));
      const expected = new Map<Manifest, Buffer>();
      for (let round = 0; round < 4; round += 1) {
        const content = disk.content();
        const { manifest, warnings } = await backUp(hypervisor, round === 0 ? 'auto' : level);
        assert.deepEqual(warnings, []);
        expected.set(manifest, content);
        disk.guestWrite(round * 100_000, randomBytes(5000));
        disk.guestWrite(3 * MiB, Buffer.alloc(200_000));
      }
      for (const [manifest, content] of expected) assert.ok(content.equals(await imageOf(manifest, 'xvda')));
      const { backups, damaged } = await repository.catalogue();
      assert.deepEqual(damaged, []);
      assert.deepEqual(
        backups.map((manifest) => manifest.level),
        ['full', level, level, level],
      );
      assert.equal(findBackup({ backups, damaged }, 'xvda@latest').manifest.id, backups.at(-1)?.id);
      const verified = await runVerify({ repository });
      assert.deepEqual(verified.damage.concat(...verified.checked.map(({ damage }) => damage)), []);
      assert.equal(hypervisor.openReaders, 0);
      assert.equal(hypervisor.snapshots.size, 0);
    });
  }
});
