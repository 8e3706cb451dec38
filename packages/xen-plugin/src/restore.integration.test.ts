import assert from 'node:assert/strict';
import type { BlockWriter, Extent, Hypervisor, WithSignal } from '@vbackup/core';
import { LabPool, pattern, sha256 } from './testing/lab-pool.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const SIZE = 16 * MIB;
const DATA: readonly Extent[] = [
  { offset: 0, length: 64 * KIB },
  { offset: 5 * MIB, length: 6 * MIB },
  { offset: SIZE - 512, length: 512 },
];

describe('restoring into a XenServer pool', () => {
  let pool: LabPool;
  let xen: Hypervisor;
  let image: Buffer;
  beforeEach(async () => {
    pool = await LabPool.start();
    xen = await pool.connect();
    image = Buffer.alloc(SIZE);
    for (const [index, { offset, length }] of DATA.entries()) pattern(length, index).copy(image, offset);
  });
  afterEach(async () => {
    await xen[Symbol.asyncDispose]();
    await pool[Symbol.asyncDispose]();
  });

  const open = async (target = `sr=${pool.host.sr}`, options: WithSignal = {}): Promise<BlockWriter> => {
    const openTarget = (await xen.target?.(target, options)) ?? assert.fail('no target');
    return openTarget({ size: SIZE, data: DATA, label: 'web xvda' }, options);
  };
  const writeAll = async (writer: BlockWriter, step: number, options: WithSignal = {}): Promise<void> => {
    for (const { offset, length } of DATA) {
      for (let at = offset; at < offset + length; at += step) {
        await writer.write(at, image.subarray(at, Math.min(at + step, offset + length)), options);
      }
    }
  };
  const restored = (): readonly string[] =>
    pool.host.records('VDI').map(({ uuid }) => (typeof uuid === 'string' ? uuid : ''));

  for (const step of [64 * KIB, MIB, 5 * MIB]) {
    it(`makes a disk that equals the image, written ${step} bytes at a time`, async () => {
      {
        await using writer = await open();
        assert.equal(writer.zeroed, true);
        assert.equal(writer.size, SIZE);
        await writeAll(writer, step);
        await writer.finish();
      }
      const [uuid] = restored();
      assert.equal(await pool.host.digest(uuid ?? ''), sha256(image));
      assert.equal(pool.host.record('VDI', uuid ?? '')['name_label'], 'web xvda');
      await xen[Symbol.asyncDispose]();
      pool.assertClean(0);
    });
  }

  it('takes zeros in the middle of the data, and a name', async () => {
    {
      await using writer = await open(`sr=${pool.host.sr},name=web, again`);
      image.fill(0, 6 * MIB, 7 * MIB);
      await writer.write(0, image.subarray(0, 64 * KIB));
      await writer.zero(64 * KIB, 5 * MIB - 64 * KIB);
      await writer.write(5 * MIB, image.subarray(5 * MIB, 6 * MIB));
      await writer.zero(6 * MIB, MIB);
      await writer.write(7 * MIB, image.subarray(7 * MIB, 11 * MIB));
      await writer.write(SIZE - 512, image.subarray(SIZE - 512));
      await writer.finish();
    }
    const [uuid] = restored();
    assert.equal(await pool.host.digest(uuid ?? ''), sha256(image));
    assert.equal(pool.host.record('VDI', uuid ?? '')['name_label'], 'web, again');
  });

  it('writes every zero where the storage keeps what lay there before', async () => {
    const sr = pool.host.addSr({ label: 'raw LVM', type: 'lvm' });
    {
      await using writer = await open(`sr=${sr}`);
      assert.equal(writer.zeroed, false);
      await writeAll(writer, MIB);
      await writer.finish();
    }
    const [uuid] = restored();
    assert.equal(await pool.host.digest(uuid ?? ''), sha256(image));
  });

  it('goes to the host that sees the storage, verified like the first', async () => {
    const member = await pool.host.addMember();
    pool.host.faults.redirect = member.url;
    await assert.rejects(open(), { code: 'VB_XEN_FINGERPRINT_MISMATCH' });
    assert.deepEqual(restored(), []);
    await xen[Symbol.asyncDispose]();
    xen = await pool.connect({ fingerprint: `sha256:${pool.host.fingerprint},sha256:${member.identity.fingerprint}` });
    {
      await using writer = await open();
      await writeAll(writer, MIB);
      await writer.finish();
    }
    assert.equal(await pool.host.digest(restored()[0] ?? ''), sha256(image));
  });

  it('believes the task, not the 200, and removes the disk', async () => {
    pool.host.faults.task({ name: 'import_raw_vdi', outcome: ['VDI_IO_ERROR', 'Device I/O errors'] });
    await assert.rejects(
      async () => {
        await using writer = await open();
        await writeAll(writer, MIB);
        await writer.finish();
      },
      { code: 'VB_XEN_API', message: /VDI_IO_ERROR/ },
    );
    assert.deepEqual(restored(), []);
    await xen[Symbol.asyncDispose]();
    pool.assertClean(0);
  });

  it('removes the disk when it is not finished, or stopped', async () => {
    {
      await using writer = await open();
      await writer.write(0, image.subarray(0, 512));
    }
    assert.deepEqual(restored(), []);
    const abort = new AbortController();
    await assert.rejects(
      async () => {
        await using writer = await open(undefined, { signal: abort.signal });
        await writer.write(0, image.subarray(0, 64 * KIB), { signal: abort.signal });
        abort.abort(new Error('stop'));
        await writer.write(5 * MIB, image.subarray(5 * MIB, 6 * MIB), { signal: abort.signal });
      },
      { message: 'stop' },
    );
    assert.deepEqual(restored(), []);
    await xen[Symbol.asyncDispose]();
    pool.assertClean(0);
  });

  it('removes the disk whose making was not answered, or stopped', async () => {
    pool.host.faults.call({ method: 'VDI.create', drop: 'after', times: 1 });
    await assert.rejects(open(), { code: 'VB_XEN_TRANSPORT' });
    assert.ok(pool.host.calls.includes('Async.VDI.destroy'));
    assert.deepEqual(restored(), []);
    const denied = ['RBAC_PERMISSION_DENIED', 'VDI.remove_from_other_config', 'no'] as const;
    pool.host.faults.call({ method: 'VDI.remove_from_other_config', error: denied, times: 1 });
    await assert.rejects(open(), { code: 'VB_XEN_PERMISSION' });
    assert.deepEqual(restored(), []);
    const abort = new AbortController();
    pool.host.faults.call({ method: 'VDI.create', delayMs: 200, times: 1 });
    pool.host.onCall((method) => {
      if (method === 'Async.VDI.create') abort.abort(new Error('stop'));
    });
    await assert.rejects(open(undefined, { signal: abort.signal }), { message: 'stop' });
    assert.equal(pool.host.calls.filter((method) => method === 'Async.VDI.destroy').length, 3);
    assert.deepEqual(restored(), []);
    assert.deepEqual(pool.warnings, []);
  });

  it('removes the disk when the connection is cut', async () => {
    await assert.rejects(async () => {
      await using writer = await open();
      await writer.write(0, image.subarray(0, 64 * KIB));
      pool.host.cutConnections();
      await writeAll(writer, MIB);
      await writer.finish();
    });
    assert.deepEqual(restored(), []);
  });

  it('refuses data that was not announced, and to end before all of it came', async () => {
    await using writer = await open();
    await assert.rejects(writer.write(MIB, Buffer.alloc(512)), { code: 'VB_INVALID_ARGUMENT' });
    await assert.rejects(writer.finish(), { code: 'VB_XEN_RESTORE' });
  });

  it('says that the storage is full, or is not there', async () => {
    const sr = pool.host.addSr({ label: 'small', capacity: MIB });
    await assert.rejects(open(`sr=${sr}`), { code: 'VB_XEN_SR_FULL' });
    await assert.rejects(open('sr=01234567-89ab-cdef-0123-456789abcdef'), { code: 'VB_XEN_SR_NOT_FOUND' });
  });
});
