import assert from 'node:assert/strict';
import { backUp, LabPool, pattern, request, sha256 } from './testing/lab-pool.js';

const KIB = 1024;
const MIB = 1024 * KIB;

describe('backups of a XenServer pool', () => {
  let pool: LabPool;
  beforeEach(async () => {
    pool = await LabPool.start();
  });
  afterEach(async () => {
    await pool[Symbol.asyncDispose]();
  });

  it('copy a disk in full, reading only what is allocated, and leave one base without data', async () => {
    const uuid = pool.addDisk();
    const digest = await pool.host.digest(uuid);
    {
      await using xen = await pool.connect();
      const guest = await xen.find(uuid);
      assert.deepEqual(guest, { id: uuid, name: 'data', kind: 'disk' });
      const { images, read, snapshot } = await backUp(xen, guest);
      assert.equal(sha256(images[0] ?? Buffer.alloc(0)), digest);
      assert.equal(read, 4 * MIB, 'two blocks of 2 MiB hold data');
      assert.deepEqual(
        snapshot.configuration.map(({ name }) => name),
        ['vdi.json'],
      );
      assert.deepEqual(pool.warnings, []);
    }
    pool.assertClean(1);
  });

  it('copy only what changed since, and move the base', async () => {
    const uuid = pool.addDisk();
    {
      await using xen = await pool.connect();
      const guest = await xen.find(uuid);
      const full = await backUp(xen, guest);
      pool.host.guestWrite(uuid, 3 * MIB + 512, pattern(512, 9));
      pool.host.guestZero(uuid, 0, 64 * KIB);
      const digest = await pool.host.digest(uuid);
      const since = full.snapshot.checkpoint;
      const inc = await backUp(xen, guest, { since, parents: full.images, backupId: 'a'.repeat(16) });
      assert.deepEqual(inc.snapshot.disks[0]?.changes, {
        kind: 'since',
        method: 'cbt',
        extents: [
          { offset: 0, length: 64 * KIB },
          { offset: 3 * MIB, length: 64 * KIB },
        ],
      });
      assert.equal(inc.read, 128 * KIB);
      assert.equal(sha256(inc.images[0] ?? Buffer.alloc(0)), digest);
    }
    pool.assertClean(1);
  });

  it('copy all disks of a machine from one snapshot, without what is in its CD drive', async () => {
    const disks = [pool.addDisk(16 * MIB, 'root'), pool.addDisk(6 * MIB, 'data')];
    const cd = pool.host.addDisk({ size: MIB, label: 'installer.iso' });
    const machine = pool.host.addMachine({ name: 'web', disks, cd });
    {
      await using xen = await pool.connect();
      const guest = await xen.find('vm:web');
      assert.deepEqual(guest, { id: machine, name: 'web', kind: 'machine' });
      const full = await backUp(xen, guest);
      assert.deepEqual(
        full.snapshot.disks.map(({ name, id, label }) => [name, id, label]),
        [
          ['xvda', disks[0], 'root'],
          ['xvdb', disks[1], 'data'],
        ],
      );
      assert.deepEqual(full.images.map(sha256), await Promise.all(disks.map((disk) => pool.host.digest(disk))));
      const [file] = full.snapshot.configuration;
      assert.equal(file?.name, 'vm.json');
      const content: unknown = JSON.parse(String(file.content));
      assert.ok(typeof content === 'object' && content !== null && 'vbds' in content && Array.isArray(content.vbds));
      assert.equal(content.vbds.length, 3);
      pool.host.guestWrite(disks[1] ?? '', MIB, pattern(512, 5));
      const since = full.snapshot.checkpoint;
      const inc = await backUp(xen, guest, { since, parents: full.images, backupId: 'b'.repeat(16) });
      assert.deepEqual(
        inc.snapshot.disks.map(({ changes }) => changes.kind === 'since' && changes.extents.length),
        [0, 1],
      );
      assert.deepEqual(inc.images.map(sha256), await Promise.all(disks.map((disk) => pool.host.digest(disk))));
    }
    pool.assertClean(2);
    assert.equal(pool.host.record('VDI', cd)['name_label'], 'installer.iso');
  });

  it('find a machine by its uuid, and refuse a name that two have', async () => {
    const uuids = [1, 2].map(() => pool.host.addMachine({ name: 'twin', disks: [pool.addDisk()] }));
    await using xen = await pool.connect();
    assert.equal((await xen.find(`vm:${uuids[1]}`)).id, uuids[1]);
    await assert.rejects(xen.find('vm:twin'), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'VB_XEN_AMBIGUOUS');
      for (const uuid of uuids) assert.ok(error.message.includes(uuid));
      return true;
    });
  });

  it('say what they did not find', async () => {
    await using xen = await pool.connect();
    const nobody = '01234567-89ab-cdef-0123-456789abcdef';
    for (const selector of [nobody, `vm:${nobody}`, 'vm:nobody']) {
      await assert.rejects(xen.find(selector), { code: 'VB_GUEST_NOT_FOUND' }, selector);
    }
  });

  it('refuse a snapshot in the place of a disk', async () => {
    await using xen = await pool.connect();
    await backUp(xen, await xen.find(pool.addDisk()));
    const [base] = pool.host.leftovers().bases;
    await assert.rejects(xen.find(base ?? ''), { code: 'VB_XEN_SELECTOR' });
  });

  it('that are a differential or a copy leave the base where it is', async () => {
    const uuid = pool.addDisk();
    {
      await using xen = await pool.connect();
      const guest = await xen.find(uuid);
      const full = await backUp(xen, guest);
      const since = full.snapshot.checkpoint;
      pool.host.guestWrite(uuid, MIB, pattern(512, 3));
      const diff = await backUp(xen, guest, {
        since,
        keepCheckpoint: false,
        parents: full.images,
        backupId: 'c'.repeat(16),
      });
      assert.equal(diff.snapshot.checkpoint, null);
      assert.equal(diff.snapshot.disks[0]?.changes.kind, 'since');
      pool.host.guestWrite(uuid, 5 * MIB, pattern(512, 4));
      const inc = await backUp(xen, guest, { since, parents: full.images, backupId: 'd'.repeat(16) });
      assert.deepEqual(inc.snapshot.disks[0]?.changes, {
        kind: 'since',
        method: 'cbt',
        extents: [
          { offset: MIB, length: 64 * KIB },
          { offset: 5 * MIB, length: 64 * KIB },
        ],
      });
      assert.equal(sha256(inc.images[0] ?? Buffer.alloc(0)), await pool.host.digest(uuid));
    }
    pool.assertClean(1);
  });

  it('of a grown disk copy what was written to its new end', async () => {
    const uuid = pool.addDisk(4 * MIB);
    await using xen = await pool.connect();
    const guest = await xen.find(uuid);
    const full = await backUp(xen, guest);
    pool.host.grow(uuid, 8 * MIB);
    pool.host.guestWrite(uuid, 7 * MIB, pattern(1024, 6));
    const since = full.snapshot.checkpoint;
    const inc = await backUp(xen, guest, { since, parents: full.images, backupId: 'e'.repeat(16) });
    assert.deepEqual(inc.snapshot.disks[0]?.changes, {
      kind: 'since',
      method: 'cbt',
      extents: [{ offset: 7 * MIB, length: 64 * KIB }],
    });
    assert.equal(sha256(inc.images[0] ?? Buffer.alloc(0)), await pool.host.digest(uuid));
  });

  it('that are not committed leave nothing, and the base as it was', async () => {
    const uuid = pool.addDisk();
    {
      await using xen = await pool.connect();
      const guest = await xen.find(uuid);
      const full = await backUp(xen, guest);
      pool.host.guestWrite(uuid, MIB, pattern(512, 3));
      const since = full.snapshot.checkpoint;
      {
        await using snapshot = await xen.snapshot(guest, request({ since }));
        await using reader = await snapshot.disks[0]?.open({ connections: 2 });
        await reader?.read(0, Buffer.alloc(512));
      }
      assert.deepEqual(pool.host.leftovers().snapshots, []);
      const inc = await backUp(xen, guest, { since, parents: full.images, backupId: 'f'.repeat(16) });
      assert.equal(inc.snapshot.disks[0]?.changes.kind, 'since');
      assert.equal(sha256(inc.images[0] ?? Buffer.alloc(0)), await pool.host.digest(uuid));
    }
    pool.assertClean(1);
  });

  it('remove the base of a chain that a full backup ended', async () => {
    const uuid = pool.addDisk();
    {
      await using xen = await pool.connect();
      const guest = await xen.find(uuid);
      await backUp(xen, guest);
      await backUp(xen, guest, { since: null, backupId: 'a'.repeat(16) });
    }
    pool.assertClean(1);
  });

  it('keep a base for the disk and one for its machine apart', async () => {
    const uuid = pool.addDisk();
    pool.host.addMachine({ name: 'web', disks: [uuid] });
    {
      await using xen = await pool.connect();
      const alone = await backUp(xen, await xen.find(uuid));
      const whole = await backUp(xen, await xen.find('vm:web'), { backupId: 'a'.repeat(16) });
      pool.host.guestWrite(uuid, MIB, pattern(512, 3));
      const since = alone.snapshot.checkpoint;
      const first = await backUp(xen, await xen.find(uuid), { since, parents: alone.images, backupId: 'b'.repeat(16) });
      const other = { since: whole.snapshot.checkpoint, parents: whole.images, backupId: 'c'.repeat(16) };
      const second = await backUp(xen, await xen.find('vm:web'), other);
      for (const { snapshot, images } of [first, second]) {
        assert.equal(snapshot.disks[0]?.changes.kind, 'since');
        assert.equal(sha256(images[0] ?? Buffer.alloc(0)), await pool.host.digest(uuid));
      }
    }
    pool.assertClean(2);
  });
});
