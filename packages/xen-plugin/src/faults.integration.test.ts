import assert from 'node:assert/strict';
import type { Hypervisor } from '@vbackup/core';
import { cutAfterReads, selfSigned } from '@vbackup/lab';
import * as v from 'valibot';
import { backUp, LabPool, pattern, readDisk, request, sha256 } from './testing/lab-pool.js';

const KIB = 1024;
const MIB = 1024 * KIB;

/** What the core does after a snapshot that failed. */
async function undo(xen: Hypervisor, { backupId, journal }: ReturnType<typeof request>): Promise<void> {
  await xen.recover({ backupId, entries: journal.entries, committed: false });
}

describe('a XenServer pool with faults', () => {
  let pool: LabPool;
  let xen: Hypervisor;
  let uuid: string;
  beforeEach(async () => {
    pool = await LabPool.start();
    uuid = pool.addDisk();
    xen = await pool.connect();
  });
  afterEach(async () => {
    await xen[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
  });

  const start = async (options: Parameters<typeof request>[0] = {}) =>
    xen.snapshot(await xen.find(uuid), request(options));

  describe('without NBD', () => {
    it('names the network purpose that is missing', async () => {
      await using closed = await LabPool.start({ nbdPurpose: 'none' });
      const disk = closed.addDisk();
      await using plain = await closed.connect();
      const guest = await plain.find(disk);
      await assert.rejects(plain.snapshot(guest, request()), {
        code: 'VB_XEN_NBD_UNAVAILABLE',
        message: /purpose nbd/,
      });
      assert.ok(!closed.host.calls.includes('VDI.enable_cbt'));
    });

    it('names the age of a host that has none', async () => {
      pool.host.faults.missingMethods.add('VDI.get_nbd_info');
      await assert.rejects(start(), { code: 'VB_XEN_NBD_UNAVAILABLE', message: /older than XenServer 7\.3/ });
      await xen[Symbol.asyncDispose]();
      pool.assertClean(0);
    });

    it('refuses clear text, unless it was allowed', async () => {
      await using clear = await LabPool.start({ nbdPurpose: 'insecure_nbd' });
      const disk = clear.addDisk();
      {
        await using strict = await clear.connect();
        const guest = await strict.find(disk);
        await assert.rejects(strict.snapshot(guest, request()), { code: 'VB_XEN_NBD_INSECURE' });
        assert.ok(!clear.host.calls.includes('VDI.enable_cbt'), 'nothing was done before');
      }
      clear.assertClean(0);
      {
        await using lenient = await clear.connect({ 'insecure-nbd': true });
        const { images } = await backUp(lenient, await lenient.find(disk));
        assert.equal(sha256(images[0] ?? assert.fail()), await clear.host.digest(disk));
      }
      clear.assertClean(1);
    });

    it('refuses a server that shows another certificate than the pool said', async () => {
      const { certificate, key } = await selfSigned({ names: ['xen1.lab'], addresses: ['127.0.0.1'] });
      pool.host.faults.nbd.identity = { certificate, key };
      {
        await using snapshot = await start();
        await assert.rejects(async () => readDisk(snapshot.disks[0] ?? assert.fail()), {
          code: 'VB_XEN_NBD_CERTIFICATE',
          message: /shows another certificate/,
        });
      }
      await xen[Symbol.asyncDispose]();
      pool.assertClean(0);
    });

    it('reads on when connections are cut in the middle', async () => {
      pool.host.faults.nbd.onRead = cutAfterReads(1, 3);
      const { images } = await backUp(xen, await xen.find(uuid));
      assert.equal(sha256(images[0] ?? assert.fail()), await pool.host.digest(uuid));
    });
  });

  describe('without change tracking', () => {
    it('backs up in full and says that the licence is missing', async () => {
      pool.host.faults.cbtLicensed = false;
      const guest = await xen.find(uuid);
      const { snapshot, images } = await backUp(xen, guest);
      assert.equal(snapshot.checkpoint, null);
      assert.equal(sha256(images[0] ?? assert.fail()), await pool.host.digest(uuid));
      assert.deepEqual(
        pool.warnings.map(({ code }) => code),
        ['VB_XEN_CBT_UNAVAILABLE'],
      );
      assert.match(pool.warnings[0]?.message ?? '', /licence/);
      await xen[Symbol.asyncDispose]();
      pool.assertClean(0);
    });

    it('names the storage that does not offer it', async () => {
      const sr = pool.host.addSr({ label: 'Old storage', type: 'linstor', cbt: false });
      uuid = pool.host.addDisk({ size: 4 * MIB, label: 'x', sr });
      {
        await using snapshot = await start();
        assert.deepEqual(snapshot.disks[0]?.changes, { kind: 'all' });
      }
      assert.match(pool.warnings[0]?.message ?? '', /Old storage \(linstor\).*vdi_enable_cbt/);
    });

    it('gives the reason when an increment was expected', async () => {
      const since = (await backUp(xen, await xen.find(uuid))).snapshot.checkpoint;
      pool.host.crash();
      pool.host.faults.cbtLicensed = false;
      await using snapshot = await start({ since });
      const { changes } = snapshot.disks[0] ?? assert.fail();
      assert.ok(changes.kind === 'all' && changes.reason === 'no-change-tracking');
    });

    it('backs up in full on a host that is too old for it', async () => {
      pool.host.faults.missingMethods.add('VDI.enable_cbt');
      await using snapshot = await start();
      assert.equal(snapshot.checkpoint, null);
      assert.match(pool.warnings[0]?.message ?? '', /older than XenServer 7.3/);
    });
  });

  describe('whose chain is broken', () => {
    const reasonOf = async (since: Parameters<typeof start>[0]): Promise<unknown> => {
      await using snapshot = await start({ ...since, backupId: 'a'.repeat(16) });
      const { changes } = snapshot.disks[0] ?? assert.fail();
      assert.ok(changes.kind === 'all' && (changes.detail ?? '') !== '');
      return changes.reason;
    };
    const firstCheckpoint = async () => (await backUp(xen, await xen.find(uuid))).snapshot.checkpoint;

    it('starts anew after a crash of the host', async () => {
      const since = await firstCheckpoint();
      pool.host.crash();
      assert.equal(await reasonOf({ since }), 'tracking-just-enabled');
    });

    it('starts anew when the base is gone', async () => {
      const since = await firstCheckpoint();
      const nobody = '01234567-89ab-cdef-0123-456789abcdef';
      const text = JSON.stringify(since).replace(pool.host.leftovers().bases[0] ?? '', nobody);
      assert.equal(await reasonOf({ since: JSON.parse(text) }), 'base-missing');
    });

    it('starts anew when the base is of another disk', async () => {
      const since = await firstCheckpoint();
      const other = pool.addDisk();
      const text = JSON.stringify(since).replaceAll(uuid, other);
      uuid = other;
      pool.host.faults.cbtLicensed = true;
      await backUp(xen, await xen.find(other));
      assert.equal(await reasonOf({ since: JSON.parse(text) }), 'base-foreign');
    });

    it('starts anew when the disk has shrunk', async () => {
      const since = await firstCheckpoint();
      const text = JSON.stringify(since).replace(/"size":\d+/, `"size":${32 * MIB}`);
      assert.equal(await reasonOf({ since: JSON.parse(text) }), 'disk-shrunk');
    });

    it('starts anew when the disk was not part of the last backup', async () => {
      const since = await firstCheckpoint();
      uuid = pool.addDisk();
      assert.equal(await reasonOf({ since }), 'disk-new');
    });

    for (const failure of ['SR_BACKEND_FAILURE_460', 'SR_BACKEND_FAILURE_459', 'VDI_NO_CBT_METADATA'] as const) {
      it(`starts anew when the host answers ${failure}`, async () => {
        const since = await firstCheckpoint();
        pool.host.faults.call({ method: 'VDI.list_changed_blocks', error: [failure, '', 'unrelated', ''] });
        assert.equal(await reasonOf({ since }), 'tracking-lost');
      });
    }

    it('and the whole new chain leaves one base', async () => {
      const since = await firstCheckpoint();
      pool.host.faults.call({
        method: 'VDI.list_changed_blocks',
        times: 1,
        error: ['SR_BACKEND_FAILURE_460', '', '', ''],
      });
      const guest = await xen.find(uuid);
      const again = await backUp(xen, guest, { since, backupId: 'a'.repeat(16) });
      pool.host.guestWrite(uuid, MIB, pattern(512, 7));
      const next = { since: again.snapshot.checkpoint, parents: again.images, backupId: 'b'.repeat(16) };
      const inc = await backUp(xen, guest, next);
      assert.equal(inc.snapshot.disks[0]?.changes.kind, 'since');
      assert.equal(sha256(inc.images[0] ?? assert.fail()), await pool.host.digest(uuid));
      await xen[Symbol.asyncDispose]();
      pool.assertClean(1);
    });

    it('refuses a checkpoint of somebody else', async () => {
      await assert.rejects(start({ since: { disks: 'all' } }), { code: 'VB_XEN_CHECKPOINT' });
    });
  });

  for (const jsonRpc of [404, 500, 'xml'] as const) {
    it(`that answers JSON-RPC with ${jsonRpc} is asked over XML-RPC`, async () => {
      pool.host.faults.jsonRpc = jsonRpc;
      const guest = await xen.find(uuid);
      const full = await backUp(xen, guest);
      pool.host.guestWrite(uuid, MIB, pattern(512, 7));
      const since = full.snapshot.checkpoint;
      const inc = await backUp(xen, guest, { since, parents: full.images, backupId: 'a'.repeat(16) });
      assert.equal(inc.read, 64 * KIB);
    });
  }

  it('that forgets the session in the middle is logged in to again, also by NBD', async () => {
    const guest = await xen.find(uuid);
    {
      await using snapshot = await xen.snapshot(guest, request());
      await using reader = await (snapshot.disks[0] ?? assert.fail()).open({ connections: 2 });
      const bytes = Buffer.alloc(512);
      await reader.read(0, bytes);
      pool.host.expireSessions();
      pool.host.cutConnections();
      await reader.read(8 * MIB, bytes);
      assert.ok(bytes.equals(pool.host.guestRead(uuid, 8 * MIB, 512)));
      await reader[Symbol.asyncDispose]();
      await snapshot.commit();
    }
    await xen[Symbol.asyncDispose]();
    pool.assertClean(1);
  });

  it('that forgets the session while pieces are read together is asked again for all of them', async () => {
    const guest = await xen.find(uuid);
    await using snapshot = await xen.snapshot(guest, request());
    await using reader = await (snapshot.disks[0] ?? assert.fail()).open({ connections: 2 });
    const offsets = [8 * MIB, 0, 8 * MIB + 64 * KIB, 99 * 512];
    const pieces = offsets.map((offset) => ({ offset, target: Buffer.alloc(64 * KIB, 0xee) }));
    pool.host.expireSessions();
    pool.host.cutConnections();
    await (reader.readAll?.(pieces) ?? assert.fail());
    for (const { offset, target } of pieces) assert.ok(target.equals(pool.host.guestRead(uuid, offset, 64 * KIB)));
    await assert.rejects(
      async () => reader.readAll?.(pieces, { signal: AbortSignal.abort(new Error('enough')) }),
      /enough/,
    );
    const beyond = [{ offset: 16 * MIB, target: Buffer.alloc(512) }];
    await assert.rejects(async () => reader.readAll?.(beyond), { code: 'VB_INVALID_ARGUMENT' });
  });

  it('that is busy with the snapshot is asked again', async () => {
    pool.host.faults.call({
      method: 'VDI.data_destroy',
      times: 2,
      error: ['VDI_IN_USE', 'OpaqueRef:x', 'data_destroy'],
    });
    pool.host.faults.nbd.unplugDelayMs = 400;
    await backUp(xen, await xen.find(uuid));
    await xen[Symbol.asyncDispose]();
    pool.assertClean(1);
    const { calls } = pool.host;
    assert.equal(calls.filter((name) => name === 'Async.VDI.data_destroy').length, 3);
  });

  it('whose storage is busy is asked again, and not taken for one that cannot do it', async () => {
    for (const method of ['VDI.enable_cbt', 'VDI.snapshot', 'VDI.list_changed_blocks']) {
      const error = ['OTHER_OPERATION_IN_PROGRESS', 'SR', 'OpaqueRef:sr', 'scan'] as const;
      pool.host.faults.call({ method, times: 1, error });
    }
    const guest = await xen.find(uuid);
    const full = await backUp(xen, guest);
    assert.deepEqual(pool.warnings, []);
    pool.host.guestWrite(uuid, MIB, pattern(512, 7));
    const since = full.snapshot.checkpoint;
    const inc = await backUp(xen, guest, { since, parents: full.images, backupId: 'a'.repeat(16) });
    assert.equal(inc.read, 64 * KIB);
    await xen[Symbol.asyncDispose]();
    pool.assertClean(1);
  });

  it('that cannot tell the block map is read as a whole', async () => {
    pool.host.faults.exportBreaks = true;
    const { images, read } = await backUp(xen, await xen.find(uuid));
    assert.equal(read, 16 * MIB);
    assert.equal(sha256(images[0] ?? assert.fail()), await pool.host.digest(uuid));
    assert.deepEqual(
      pool.warnings.map(({ code }) => code),
      ['VB_XEN_NO_BLOCK_MAP'],
    );
    await xen[Symbol.asyncDispose]();
    pool.assertClean(1);
  });

  it('that has no room for the snapshot leaves nothing behind', async () => {
    pool.host.faults.call({
      method: 'VDI.snapshot',
      error: ['SR_BACKEND_FAILURE_44', '', 'There is insufficient space', ''],
    });
    const asked = request();
    await assert.rejects(xen.snapshot(await xen.find(uuid), asked), { code: 'VB_XEN_SR_FULL' });
    await undo(xen, asked);
    await xen[Symbol.asyncDispose]();
    pool.assertClean(0);
  });

  it('that denies a call names the role which it needs', async () => {
    const machine = pool.host.addMachine({ name: 'web', disks: [uuid] });
    pool.host.faults.call({ method: 'VM.snapshot', error: ['RBAC_PERMISSION_DENIED', 'VM.snapshot', 'no'] });
    await assert.rejects(xen.snapshot(await xen.find(`vm:${machine}`), request()), {
      code: 'VB_XEN_PERMISSION',
      message: /vm-power-admin/,
    });
  });

  it('that is told to stop in the middle of a snapshot is left clean', async () => {
    const abort = new AbortController();
    const guest = await xen.find(uuid);
    const asked = request();
    pool.host.faults.call({ method: 'VDI.snapshot', delayMs: 300 });
    const record = asked.journal.record.bind(asked.journal);
    asked.journal.record = async (entry) => {
      await record(entry);
      if (entry['step'] === 'snapshot-disk') setTimeout(() => abort.abort(new Error('stop')), 100);
    };
    await assert.rejects(xen.snapshot(guest, asked, { signal: abort.signal }), { message: 'stop' });
    await undo(xen, asked);
    await xen[Symbol.asyncDispose]();
    pool.assertClean(0);
  });

  it('that is told to stop while the call for a snapshot is on its way is left clean', async () => {
    const abort = new AbortController();
    const guest = await xen.find(uuid);
    pool.host.faults.call({ method: 'VDI.snapshot', delayMs: 300, times: 1 });
    pool.host.onCall((method) => {
      if (method === 'Async.VDI.snapshot') abort.abort(new Error('stop'));
    });
    const asked = request();
    await assert.rejects(xen.snapshot(guest, asked, { signal: abort.signal }), { message: 'stop' });
    await undo(xen, asked);
    assert.ok(pool.host.calls.includes('Async.VDI.destroy'), 'the snapshot was made, and is gone');
    await xen[Symbol.asyncDispose]();
    pool.assertClean(0);
  });

  it('that knows no list of disks to leave out is asked without it', async () => {
    const other = pool.addDisk();
    pool.host.addMachine({ name: 'web', disks: [uuid, other] });
    await set(pool, other, 'sharable', true);
    pool.host.faults.call({
      method: 'VM.snapshot',
      times: 1,
      error: ['MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.snapshot', '2', '3'],
    });
    {
      await using snapshot = await xen.snapshot(await xen.find('vm:web'), request());
      assert.deepEqual(
        snapshot.disks.map(({ id }) => id),
        [uuid],
      );
    }
    assert.deepEqual(
      pool.warnings.map(({ code }) => code),
      ['VB_XEN_DISK_SKIPPED'],
    );
    assert.match(pool.warnings[0]?.message ?? '', new RegExp(`${other}.*shared between machines`));
    await xen[Symbol.asyncDispose]();
    pool.assertClean(0);
  });

  it('refuses a disk that is shared, or reset at every boot', async () => {
    await set(pool, uuid, 'on_boot', 'reset');
    await assert.rejects(start(), { code: 'VB_XEN_DISK_UNSUPPORTED', message: /reset at every boot/ });
    await set(pool, uuid, 'sharable', true);
    await assert.rejects(start(), { code: 'VB_XEN_DISK_UNSUPPORTED', message: /shared between machines/ });
  });
});

/** As an administrator would, over the API. */
async function set(pool: LabPool, uuid: string, field: string, value: string | boolean): Promise<void> {
  await using session = await pool.login();
  const disk = await session.call(v.string(), 'VDI.get_by_uuid', [uuid]);
  await session.call(v.unknown(), `VDI.set_${field}`, [disk, value]);
}
