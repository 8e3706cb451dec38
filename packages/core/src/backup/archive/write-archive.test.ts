import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import { FakeDisk, FakeHypervisor, type FakeStep, RepositoryFixture, requireTools } from '../../testing/index.js';
import { decodeArchive, sha256 } from '../../testing/vma-archive.js';
import { readWithPython } from '../../testing/vma-python.js';
import { openArchiveOutput, openVmaArchive, parseUuid, readSidecar } from '../../vma/index.js';
import { openRepository, runBackup, type WorkEvent } from '../index.js';
import { plainShape, pveShape } from './archive-shape.js';
import { BackupHypervisor } from './backup-hypervisor.js';
import { JoinedHypervisor } from './joined-hypervisor.js';
import { VmaHypervisor } from './vma-hypervisor.js';
import { type WriteArchiveJob, type WriteArchiveSummary, writeArchive } from './write-archive.js';

const MiB = 1024 * 1024;
const UUID = parseUuid('0d8fc66f-accb-4b1e-8b24-64002cba376f');

describe('writeArchive', () => {
  let fixture: RepositoryFixture;
  let first: FakeDisk;
  let second: FakeDisk;
  let host: FakeHypervisor;
  let out: string;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    out = join(fixture.folder, 'out');
    await mkdir(out);
    first = new FakeDisk({ id: 'disk-1', name: 'xvda', label: 'root', size: 5 * MiB });
    first.guestWrite(2 * MiB + 4096, randomBytes(MiB));
    second = new FakeDisk({ id: 'disk-2', name: 'xvdb', label: 'data', size: 540_672 });
    second.guestWrite(65_536, randomBytes(5000));
    host = new FakeHypervisor([first, second]);
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const write = async (
    path: string,
    more: Partial<WriteArchiveJob> = {},
    how: { readonly force?: boolean } = {},
  ): Promise<WriteArchiveSummary> => {
    await using output = await openArchiveOutput({ path, ...how });
    return await writeArchive({
      hypervisor: host,
      hypervisorName: 'fake',
      selector: 'fake',
      output,
      sidecarPath: `${path}.sha256s`,
      shape: plainShape,
      notes: null,
      ...more,
    });
  };

  it('writes every disk of a guest, in order, with its digests beside it', async function () {
    requireTools(this, ['python3']);
    const path = join(out, 'a.vma');
    const summary = await write(path, { uuid: UUID, ctime: 1_700_000_000 });
    const archive = decodeArchive(await readFile(path));
    assert.deepEqual(
      archive.header.devices.map(({ id, name, size }) => [id, name, size]),
      [
        [1, 'root', 5 * MiB],
        [2, 'data', 540_672],
      ],
    );
    assert.ok(archive.image(1).equals(first.content()));
    assert.ok(archive.image(2).equals(second.content()));
    const [found] = readWithPython([path]);
    assert.deepEqual(
      found?.devices.map((device) => device.sha256),
      [first, second].map((disk) => sha256(disk.content())),
    );
    assert.deepEqual(
      found?.configs.map(({ name }) => name),
      ['vm.json'],
    );
    assert.equal(summary.sidecarPath, `${path}.sha256s`);
    assert.deepEqual((await readSidecar(`${path}.sha256s`))?.uuid, UUID);
    assert.deepEqual((await readdir(out)).toSorted(), ['a.vma', 'a.vma.sha256s']);
    assert.equal(summary.length, (await readFile(path)).length);
  });

  it('writes the same bytes twice if it is given what tells archives apart', async () => {
    const identity = { uuid: UUID, ctime: 1_700_000_000 };
    await write(join(out, 'a.vma'), identity);
    await write(join(out, 'b.vma'), identity);
    assert.ok((await readFile(join(out, 'a.vma'))).equals(await readFile(join(out, 'b.vma'))));
  });

  it('leaves no checkpoint and no snapshot on the hypervisor', async () => {
    await write(join(out, 'a.vma'));
    assert.deepEqual([host.snapshots.size, host.checkpoints.size, host.openReaders], [0, 0, 0]);
  });

  it('leaves the change tracking of the backups in a repository as it was', async () => {
    await fixture.backUp(host);
    first.guestWrite(0, randomBytes(4096));
    await write(join(out, 'a.vma'));
    const { manifest } = await fixture.backUp(host);
    assert.equal(manifest.level, 'inc');
    assert.ok((await fixture.imageOf(manifest)).equals(first.content()));
  });

  for (const step of ['snapshot-journal', 'snapshot-made', 'open', 'read', 'confirm'] satisfies FakeStep[]) {
    it(`leaves nothing if the hypervisor fails at ${step}`, async () => {
      host.onStep = (at) => {
        if (at === step) throw new VBackupError('VB_IO', 'broken');
      };
      await assert.rejects(write(join(out, 'a.vma')), { code: 'VB_IO' });
      assert.deepEqual(await readdir(out), []);
      assert.deepEqual([host.snapshots.size, host.checkpoints.size, host.openReaders], [0, 0, 0]);
    });
  }

  it('leaves nothing if it is stopped', async () => {
    const stop = new AbortController();
    host.onStep = (step) => {
      if (step === 'read') stop.abort();
    };
    await assert.rejects(write(join(out, 'a.vma'), { signal: stop.signal }), { code: 'VB_ABORTED' });
    assert.deepEqual(await readdir(out), []);
    assert.equal(host.snapshots.size, 0);
  });

  it('removes with the next run what one that died left on the hypervisor', async () => {
    const notes = await openRepository(join(fixture.folder, 'notes'), { create: true });
    // What could not be undone stays in the notes, as if the process had died.
    host.onStep = (step) => {
      if (step === 'read' || step === 'dispose') throw new VBackupError('VB_IO', 'gone');
    };
    await assert.rejects(write(join(out, 'a.vma'), { notes }), { code: 'VB_IO' });
    assert.equal(host.snapshots.size, 1);
    host.onStep = () => undefined;
    await write(join(out, 'b.vma'), { notes });
    assert.equal(host.snapshots.size, 0);
    assert.deepEqual((await notes.catalogue()).backups, []);
  });

  it('replaces an archive only when the new one is complete', async () => {
    const path = join(out, 'a.vma');
    await writeFile(path, 'old');
    await assert.rejects(write(path), { code: 'VB_TARGET_EXISTS' });
    host.onStep = (step) => {
      if (step === 'confirm') throw new VBackupError('VB_IO', 'moved');
    };
    await assert.rejects(write(path, {}, { force: true }), { code: 'VB_IO' });
    assert.equal(await readFile(path, 'utf8'), 'old');
    host.onStep = () => undefined;
    await write(path, {}, { force: true });
    assert.ok(
      decodeArchive(await readFile(path))
        .image(1)
        .equals(first.content()),
    );
  });

  it('keeps the archive and warns if only the digests cannot be written', async () => {
    const path = join(out, 'a.vma');
    const events: WorkEvent[] = [];
    const summary = await write(path, { sidecarPath: join(out, 'none', 'x'), onEvent: (event) => events.push(event) });
    assert.equal(summary.sidecarPath, null);
    assert.deepEqual(
      summary.warnings.map(({ code }) => code),
      ['VB_VMA_SIDECAR'],
    );
    assert.ok(events.some((event) => event.type === 'warning' && event.code === 'VB_VMA_SIDECAR'));
    assert.equal(decodeArchive(await readFile(path)).header.devices.length, 2);
  });

  it('gives qmrestore a configuration with a line for every device', async () => {
    const path = join(out, 'a.vma');
    await write(path, { shape: pveShape({ vmid: 123, storage: 'tank' }) });
    const { header } = decodeArchive(await readFile(path));
    assert.deepEqual(
      header.devices.map(({ name }) => name),
      ['drive-scsi0', 'drive-scsi1'],
    );
    const conf = header.configs.find(({ name }) => name === 'qemu-server.conf')?.content.toString() ?? '';
    assert.match(conf, /^name: fake$/m);
    assert.match(conf, /^scsi0: tank:vm-123-disk-0,size=5M$/m);
    assert.match(conf, /^#qmdump#map:scsi0:drive-scsi0:tank:raw:$/m);
    assert.match(conf, /^#qmdump#map:scsi1:drive-scsi1:tank:raw:$/m);
    assert.ok(header.configs.some(({ name }) => name === 'vm.json'));
  });

  describe('of a backup', () => {
    it('holds every point of a chain as it was', async () => {
      const one = (await fixture.backUp(host)).manifest;
      const before = first.content();
      first.guestWrite(3 * MiB, randomBytes(MiB));
      first.guestWrite(2 * MiB, Buffer.alloc(MiB / 2));
      const two = (await fixture.backUp(host)).manifest;
      const expected = [before, first.content()];
      for (const [at, manifest] of [one, two].entries()) {
        const hypervisor = new BackupHypervisor({ repository: fixture.repository, manifest });
        const path = join(out, `${at}.vma`);
        await write(path, { hypervisor, selector: manifest.id });
        const archive = decodeArchive(await readFile(path));
        assert.ok(archive.image(1).equals(expected[at] ?? Buffer.alloc(0)));
        assert.ok(archive.image(2).equals(second.content()));
        assert.equal(archive.header.configs[0]?.content.toString(), '{"memory":1024}\n');
        assert.equal(archive.header.ctime, Math.floor(Date.parse(manifest.time) / 1000));
      }
    });

    it('holds the one disk that was named, and refuses one that is not there', async () => {
      const { manifest } = await fixture.backUp(host);
      const source = { repository: fixture.repository, manifest };
      await write(join(out, 'a.vma'), { hypervisor: new BackupHypervisor({ ...source, disk: 'xvdb' }) });
      const { header } = decodeArchive(await readFile(join(out, 'a.vma')));
      assert.deepEqual(
        header.devices.map(({ name }) => name),
        ['data'],
      );
      const hypervisor = new BackupHypervisor({ ...source, disk: 'xvdz' });
      await assert.rejects(write(join(out, 'b.vma'), { hypervisor }), { code: 'VB_BACKUP_NOT_FOUND' });
    });

    it('is not made of configurations that changed since', async () => {
      const { manifest } = await fixture.backUp(host);
      const file = manifest.files.find(({ path }) => path.endsWith('.vm.json'))?.path ?? '';
      await writeFile(join(fixture.repository.location, manifest.chain, file), '{"memory":9999}\n');
      const hypervisor = new BackupHypervisor({ repository: fixture.repository, manifest });
      await assert.rejects(write(join(out, 'a.vma'), { hypervisor }), { code: 'VB_FILE_DIGEST' });
      assert.deepEqual(await readdir(out), []);
    });
  });

  describe('of several guests', () => {
    const joined = (): JoinedHypervisor =>
      new JoinedHypervisor({
        guest: { id: 'joined', name: 'joined', kind: 'machine' },
        configuration: [{ name: 'qemu-server.conf', content: Buffer.from('memory: 512\n') }],
        sources: [0, 1].map((at) => ({
          hypervisor: at === 0 ? one : two,
          selector: 'fake',
          name: `drive-virtio${at}`,
        })),
      });
    let one: FakeHypervisor;
    let two: FakeHypervisor;

    beforeEach(() => {
      one = new FakeHypervisor([first]);
      two = new FakeHypervisor([second]);
    });

    it('has a disk of each, under the names that were given', async () => {
      await write(join(out, 'a.vma'), { hypervisor: joined() });
      const archive = decodeArchive(await readFile(join(out, 'a.vma')));
      assert.deepEqual(
        archive.header.devices.map(({ name }) => name),
        ['drive-virtio0', 'drive-virtio1'],
      );
      assert.ok(archive.image(1).equals(first.content()));
      assert.ok(archive.image(2).equals(second.content()));
      assert.deepEqual([one.snapshots.size, two.snapshots.size], [0, 0]);
    });

    it('releases the first if the second cannot be had', async () => {
      two.onStep = (step) => {
        if (step === 'snapshot-made') throw new VBackupError('VB_IO', 'broken');
      };
      await assert.rejects(write(join(out, 'a.vma'), { hypervisor: joined() }), { code: 'VB_IO' });
      assert.deepEqual([one.snapshots.size, two.snapshots.size], [0, 0]);
    });

    it('refuses a guest of several disks', async () => {
      one.disks.push(second);
      await assert.rejects(write(join(out, 'a.vma'), { hypervisor: joined() }), { code: 'VB_INVALID_ARGUMENT' });
      assert.equal(one.snapshots.size, 0);
    });
  });

  describe('read again as a guest', () => {
    const importFrom = async (path: string): ReturnType<typeof runBackup> => {
      await using archive = await openVmaArchive(path);
      const warn = (): void => assert.fail('nothing to warn of');
      const hypervisor = new VmaHypervisor({ archive, path, vmstate: false, warn });
      return await runBackup({ hypervisor, hypervisorName: 'vma', repository: fixture.repository, selector: path });
    };

    it('becomes a backup that restores to the same bytes', async () => {
      const path = join(out, 'a.vma');
      await write(path, { shape: pveShape({ vmid: 100 }), ctime: 1_700_000_000 });
      const { manifest } = await importFrom(path);
      assert.equal(manifest.level, 'full');
      assert.equal(manifest.hypervisor, 'vma');
      assert.equal(manifest.time, '2023-11-14T22:13:20.000Z');
      assert.deepEqual(
        manifest.disks.map(({ name, id }) => [name, id]),
        [
          ['drive-scsi0', 'drive-scsi0'],
          ['drive-scsi1', 'drive-scsi1'],
        ],
      );
      assert.ok((await fixture.imageOf(manifest, 'drive-scsi0')).equals(first.content()));
      assert.ok((await fixture.imageOf(manifest, 'drive-scsi1')).equals(second.content()));
      assert.ok(manifest.files.some(({ path: file }) => file.endsWith('.qemu-server.conf')));
      assert.deepEqual(await fixture.damage(), []);
    });

    it('stores of a second archive of the same guest only what differs', async () => {
      const base = Buffer.from('name: web\nsmbios1: uuid=7E2D9F4C-0000-4000-8000-0123456789ab\n');
      const shape: WriteArchiveJob['shape'] = (question) =>
        pveShape({ vmid: 100 })({ ...question, configuration: [{ name: 'qemu-server.conf', content: base }] });
      await write(join(out, 'a.vma'), { shape });
      first.guestWrite(4 * MiB, randomBytes(65_536));
      await write(join(out, 'b.vma'), { shape });
      const one = (await importFrom(join(out, 'a.vma'))).manifest;
      const two = (await importFrom(join(out, 'b.vma'))).manifest;
      assert.deepEqual(one.guest, { id: '7e2d9f4c-0000-4000-8000-0123456789ab', name: 'web', kind: 'machine' });
      assert.deepEqual([two.level, two.parent], ['inc', one.id]);
      assert.deepEqual(
        two.disks.map(({ dataLength }) => dataLength),
        [65_536, 0],
      );
      assert.ok((await fixture.imageOf(two, 'drive-scsi0')).equals(first.content()));
      assert.deepEqual(await fixture.damage(), []);
    });
  });
});
