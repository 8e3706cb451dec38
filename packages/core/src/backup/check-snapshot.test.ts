import assert from 'node:assert/strict';
import type { Snapshot, SnapshotDisk } from '../hypervisor/index.js';
import { checkSnapshot } from './check-snapshot.js';

const disk = (change: Partial<SnapshotDisk> = {}): SnapshotDisk => ({
  name: 'xvda',
  id: 'disk-1',
  label: '',
  size: 1000,
  changes: { kind: 'all' },
  open: () => Promise.reject(new Error('not opened here')),
  ...change,
});

const snapshot = (change: Partial<Snapshot> = {}): Snapshot => ({
  time: new Date(),
  checkpoint: null,
  disks: [disk()],
  configuration: [],
  commit: async () => undefined,
  [Symbol.asyncDispose]: async () => undefined,
  ...change,
});

const since = (...extents: readonly (readonly [offset: number, length: number])[]): Snapshot => {
  const changes = {
    kind: 'since' as const,
    method: 'test',
    extents: extents.map(([offset, length]) => ({ offset, length })),
  };
  return snapshot({ disks: [disk({ changes })] });
};

const forgetful = (blockLength: number, kind: 'since' | 'compare' = 'since'): Snapshot =>
  snapshot({ disks: [disk({ changes: { kind, method: 'test', extents: [], forgetful: { blockLength } } })] });

const file = (name: string): Snapshot => snapshot({ configuration: [{ name, content: Buffer.alloc(0) }] });

describe('checkSnapshot', () => {
  it('takes what keeps the contract', () => {
    const extents = since([0, 10], [10, 5], [999, 1]);
    for (const sound of [snapshot(), since(), extents, forgetful(65_536), file('vm.json')]) checkSnapshot(sound);
  });

  const faults: readonly (readonly [what: string, snapshot: Snapshot])[] = [
    ['no disks', snapshot({ disks: [] })],
    ['no time', snapshot({ time: new Date(Number.NaN) })],
    ['a name with a slash', snapshot({ disks: [disk({ name: '../xvda' })] })],
    ['a name twice', snapshot({ disks: [disk(), disk({ id: 'disk-2' })] })],
    ['an id twice', snapshot({ disks: [disk(), disk({ name: 'xvdb' })] })],
    ['no size', snapshot({ disks: [disk({ size: 0 })] })],
    ['a size beyond 2^53', snapshot({ disks: [disk({ size: 2 ** 53 })] })],
    ['extents out of order', since([10, 5], [0, 5])],
    ['extents that overlap', since([0, 5], [4, 5])],
    ['an empty extent', since([5, 0])],
    ['an extent beyond the disk', since([990, 11])],
    ['a fraction', since([0.5, 1])],
    ['blocks of no length', forgetful(0)],
    ['blocks of half a byte', forgetful(0.5, 'compare')],
    ['blocks of no power of two', forgetful(65_537)],
    ['blocks of a length that is no number', forgetful(Number.NaN)],
    ['a file outside', file('../vm.json')],
    ['a hidden file', file('.vm')],
    ['a file named as the manifest', file('json')],
    ['a file named as an index', file('xvda.index')],
  ];
  for (const [what, faulty] of faults) {
    it(`refuses ${what}`, () => {
      assert.throws(() => checkSnapshot(faulty), { code: 'VB_SNAPSHOT_INVALID' });
    });
  }
});
