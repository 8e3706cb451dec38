import assert from 'node:assert/strict';
import type { AllocationExtent, Extent } from '../extent/index.js';
import { diskExport } from './disk-export.js';
import type { DiskWrites, ServedDisk } from './served-disk.js';

const shape: readonly AllocationExtent[] = [
  { offset: 0, length: 10, kind: 'data' },
  { offset: 10, length: 5, kind: 'zero' },
  { offset: 15, length: 5, kind: 'hole' },
  { offset: 20, length: 5, kind: 'hole' },
  { offset: 25, length: 75, kind: 'data' },
];

function fakeDisk(parts: Partial<ServedDisk> = {}): ServedDisk & { readonly asked: AllocationExtent[] } {
  const asked: AllocationExtent[] = [];
  return {
    name: 'vda',
    description: 'guest, backup 1',
    size: 100,
    asked,
    changedSince: [],
    read: async (_offset, target) => {
      target.fill(7);
    },
    async *extents() {
      for (const extent of shape) {
        asked.push(extent);
        yield extent;
      }
    },
    [Symbol.asyncDispose]: async () => assert.fail('the disk is not the connection’s to close'),
    ...parts,
  };
}

describe('diskExport', () => {
  const whole = { offset: 0, length: 100 };

  it('says what is data, zero and a hole, neighbours of one kind as one', async () => {
    const found = await diskExport(fakeDisk()).status?.('base:allocation', whole);
    assert.deepEqual(found, [
      { length: 10, flags: 0 },
      { length: 5, flags: 2 },
      { length: 10, flags: 3 },
      { length: 75, flags: 0 },
    ]);
  });

  it('looks no further than the extents that are wanted reach', async () => {
    const disk = fakeDisk();
    const found = await diskExport(disk).status?.('base:allocation', whole, { maximum: 1 });
    assert.deepEqual(found, [{ length: 10, flags: 0 }]);
    assert.equal(disk.asked.length, 2);
  });

  it('has a context for every other point in time, with one flag', async () => {
    const ranges: Extent[] = [];
    const since = {
      id: 'a1',
      async *extents(range: Extent) {
        ranges.push(range);
        yield { offset: 20, length: 30, dirty: true };
        yield { offset: 50, length: 10, dirty: false };
      },
    };
    const shown = diskExport(fakeDisk({ changedSince: [since] }));
    assert.deepEqual(shown.metaContexts, ['base:allocation', 'vbackup:changed-since-a1']);
    const range = { offset: 20, length: 40 };
    assert.deepEqual(await shown.status?.('vbackup:changed-since-a1', range), [
      { length: 30, flags: 1 },
      { length: 10, flags: 0 },
    ]);
    assert.deepEqual(ranges, [range]);
  });

  it('refuses extents with a gap rather than tell them of other bytes', async () => {
    const gap = fakeDisk({
      async *extents() {
        yield { offset: 0, length: 10, kind: 'data' };
        yield { offset: 20, length: 10, kind: 'hole' };
      },
    });
    await assert.rejects(async () => diskExport(gap).status?.('base:allocation', whole), { code: 'VB_INTERNAL' });
  });

  it('takes no writes unless the disk does, and leaves the disk open', () => {
    const shown = diskExport(fakeDisk());
    assert.equal(shown.readOnly, true);
    const offered = ['write', 'zero', 'trim', 'flush', 'close'].filter((name) => name in shown);
    assert.deepEqual(offered, []);
  });

  it('hands changes, with their wish for durability, to a disk that takes them', async () => {
    const calls: unknown[] = [];
    const note =
      (name: string) =>
      async (...options: unknown[]): Promise<void> => {
        calls.push([name, ...options]);
      };
    const writes: DiskWrites = { write: note('write'), zero: note('zero'), trim: note('trim'), flush: note('flush') };
    const shown = diskExport(fakeDisk({ writes }));
    assert.equal(shown.readOnly, false);
    const bytes = Buffer.alloc(3);
    await shown.write?.(4, bytes, { fua: true });
    await shown.zero?.({ offset: 1, length: 2 }, { hole: true });
    await shown.trim?.({ offset: 3, length: 4 });
    await shown.flush?.();
    assert.deepEqual(calls, [
      ['write', 4, bytes, { fua: true }],
      ['zero', { offset: 1, length: 2 }, { hole: true }],
      ['trim', { offset: 3, length: 4 }, undefined],
      ['flush', undefined],
    ]);
  });
});
