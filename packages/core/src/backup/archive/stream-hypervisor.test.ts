import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../../testing/index.js';
import { sha256 } from '../../testing/vma-archive.js';
import { type BackupSummary, runBackup } from '../index.js';
import { BackupHypervisor } from './backup-hypervisor.js';
import { exportStream } from './export-stream.js';
import { StreamHypervisor } from './stream-hypervisor.js';

const MiB = 1024 * 1024;
const FIXTURES = fileURLToPath(new URL('../../../fixtures/sparse-stream/', import.meta.url));
const manifestSchema = v.object({
  sets: v.record(
    v.string(),
    v.object({
      files: v.array(v.object({ name: v.string(), image_after: v.object({ truth_sha256: v.string() }) })),
    }),
  ),
});
const { sets } = v.parse(manifestSchema, JSON.parse(readFileSync(join(FIXTURES, 'manifest.json'), 'utf8')));

describe('StreamHypervisor', () => {
  let fixture: RepositoryFixture;
  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const importFrom = (folder: string): Promise<BackupSummary> =>
    runBackup({
      hypervisor: new StreamHypervisor(folder),
      hypervisorName: 'stream',
      repository: fixture.repository,
      selector: folder,
    });

  for (const set of ['A', 'B', 'D']) {
    it(`takes the newest point of the chain ${set} of virtnbdbackup`, async () => {
      const { manifest } = await importFrom(join(FIXTURES, set));
      assert.equal(manifest.level, 'full');
      const expected = sets[set]?.files.at(-1)?.image_after.truth_sha256;
      assert.equal(sha256(await fixture.imageOf(manifest, 'vda')), expected);
      assert.ok(manifest.files.some(({ path }) => path.endsWith('.vmconfig.xml')));
      assert.deepEqual(await fixture.damage(), []);
    });
  }

  it('stores of a chain that has grown only what is new', async () => {
    const folder = join(fixture.folder, 'chain');
    await cp(join(FIXTURES, 'B'), folder, { recursive: true });
    for (const name of await readdir(folder)) if (name.includes('virtnbdbackup.1')) await rm(join(folder, name));
    const one = (await importFrom(folder)).manifest;
    const two = (await importFrom(join(FIXTURES, 'B'))).manifest;
    assert.equal(two.parent, one.id);
    assert.equal(two.guest.name, 'g2');
    const [before, after] = sets['B']?.files.map((file) => file.image_after.truth_sha256) ?? [];
    assert.equal(sha256(await fixture.imageOf(one, 'vda')), before);
    assert.equal(sha256(await fixture.imageOf(two, 'vda')), after);
    assert.ok((two.disks[0]?.dataLength ?? 0) < (one.disks[0]?.dataLength ?? 0));
  });

  it('refuses a chain that lacks a file, and a folder without one', async () => {
    const folder = join(fixture.folder, 'chain');
    await cp(join(FIXTURES, 'A'), folder, { recursive: true });
    await rm(join(folder, 'vda.inc.virtnbdbackup.1.data'));
    await assert.rejects(importFrom(folder), { code: 'VB_CHAIN_MISSING' });
    await mkdir(join(fixture.folder, 'empty'));
    await assert.rejects(importFrom(join(fixture.folder, 'empty')), { code: 'VB_FILE_NOT_FOUND' });
    await assert.rejects(importFrom(join(fixture.folder, 'none')), { code: 'VB_IO' });
  });

  it('takes back what exportStream wrote of any point, and leaves nothing of an export that failed', async () => {
    const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 3 * MiB });
    disk.guestWrite(MiB, randomBytes(MiB));
    const host = new FakeHypervisor([disk]);
    await fixture.backUp(host);
    disk.guestWrite(0, randomBytes(70_000));
    disk.guestWrite(MiB, Buffer.alloc(100_000));
    const { manifest } = await fixture.backUp(host);
    const stored = { repository: fixture.repository, manifest };
    const folder = join(fixture.folder, 'out');
    const source = { hypervisor: new BackupHypervisor(stored), hypervisorName: 'fake', selector: manifest.id };
    assert.deepEqual((await exportStream({ ...source, folder })).disks, ['xvda']);
    const again = (await importFrom(folder)).manifest;
    assert.ok((await fixture.imageOf(again)).equals(disk.content()));
    await assert.rejects(exportStream({ ...source, folder }), { code: 'VB_TARGET_EXISTS' });
    const stop = new AbortController();
    stop.abort();
    const failed = exportStream({ ...source, folder: join(fixture.folder, 'late'), signal: stop.signal });
    await assert.rejects(failed, { code: 'VB_ABORTED' });
    assert.deepEqual((await readdir(fixture.folder)).toSorted(), ['out', 'repository']);
  });
});
