import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ClusterSet } from './cluster-bitmap.js';

const END = 2 ** 32;

describe('ClusterSet', () => {
  it('agrees with a set of numbers, also about what is missing', () => {
    const near = fc.nat(3000);
    const any = fc.oneof(near, fc.integer({ min: END - 3000, max: END - 1 }), fc.integer({ min: 0, max: END - 1 }));
    fc.assert(
      fc.property(fc.array(any, { maxLength: 300 }), fc.oneof(near, fc.constant(END)), (clusters, end) => {
        const set = new ClusterSet();
        const model = new Set<number>();
        for (const cluster of clusters) {
          assert.equal(set.add(cluster), !model.has(cluster));
          model.add(cluster);
        }
        assert.equal(set.size, model.size);
        const missing = [...set.missing(end)];
        let at = 0;
        for (const { first, end: behind } of missing) {
          for (; at < first; at += 1) assert.ok(model.has(at), `${at} is there`);
          assert.ok(behind > first && (behind === end || model.has(behind)));
          for (const cluster of model) assert.ok(cluster < first || cluster >= behind);
          at = behind;
        }
        for (; at < end; at += 1) assert.ok(model.has(at), `${at} is there`);
      }),
      { numRuns: 200 },
    );
  });

  it('of nothing lacks all, and of all lacks nothing', () => {
    const set = new ClusterSet();
    assert.deepEqual([...set.missing(END)], [{ first: 0, end: END }]);
    assert.deepEqual([...set.missing(0)], []);
    for (let cluster = 0; cluster < 70_000; cluster += 1) set.add(cluster);
    assert.deepEqual([...set.missing(70_000)], []);
    assert.deepEqual([...set.missing(70_001)], [{ first: 70_000, end: 70_001 }]);
  });

  it('needs no memory for what is not in it', () => {
    const sets = Array.from({ length: 254 }, () => new ClusterSet());
    const before = process.memoryUsage().arrayBuffers;
    for (const set of sets) for (let at = 0; at < 64; at += 1) set.add(at * 2 ** 26);
    const used = process.memoryUsage().arrayBuffers - before;
    assert.ok(used < 254 * 64 * 576 * 2, `${used} bytes`);
  });
});
