import assert from 'node:assert/strict';
import fc from 'fast-check';
import { coalesce, type Extent, endOf, intersect, totalLength } from '../../extent/index.js';
import { auditBlocks, auditExtents } from './audit-blocks.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const TiB = 1024 ** 4;

const ascending = (left: Extent, right: Extent): number => left.offset - right.offset;

describe('auditBlocks', () => {
  it('cuts a disk into shares that are the whole disk, each byte once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 * MiB }), fc.integer({ min: 1, max: 50 }), (size, shares) => {
        const all = Array.from({ length: shares }, (_, share) => [...auditBlocks(size, { shares, share })]).flat();
        assert.equal(totalLength(all), size);
        assert.deepEqual([...coalesce(all.toSorted(ascending))], [{ offset: 0, length: size }]);
      }),
    );
  });

  it('grows its blocks with the disk, as frames do', () => {
    const [first, second] = auditBlocks(4 * TiB, { shares: 1000, share: 1 });
    assert.deepEqual(first, { offset: 4 * MiB, length: 4 * MiB });
    assert.equal(second?.offset, 4004 * MiB);
  });
});

describe('auditExtents', () => {
  const changes = (size: number): fc.Arbitrary<readonly Extent[]> =>
    fc
      .uniqueArray(fc.integer({ min: 0, max: size }), { maxLength: 12 })
      .map((cuts) => cuts.toSorted((left, right) => left - right))
      .map((cuts) =>
        Array.from({ length: Math.floor(cuts.length / 2) }, (_, at) => {
          const offset = cuts[2 * at] ?? 0;
          return { offset, length: (cuts[2 * at + 1] ?? offset) - offset };
        }),
      );

  it('leaves out what the copy reads, and no unit more, so that shares and copy together are the disk', () => {
    const cases = fc
      .record({
        size: fc.integer({ min: 1, max: 12 * MiB }),
        shares: fc.integer({ min: 1, max: 8 }),
        unit: fc.constantFrom(64 * KiB, 128 * KiB, MiB),
      })
      .chain((shape) => fc.record({ shape: fc.constant(shape), changed: changes(shape.size) }));
    fc.assert(
      fc.property(cases, ({ shape: { size, shares, unit }, changed }) => {
        const audited = Array.from({ length: shares }, (_, share) => [
          ...auditExtents({ size, changed, unit }, { shares, share }),
        ]).flat();
        for (const { offset, length } of audited) {
          assert.ok(
            length > 0 && offset % unit === 0 && (endOf({ offset, length }) % unit === 0 || offset + length === size),
          );
        }
        const sorted = audited.toSorted(ascending);
        assert.deepEqual([...intersect(sorted, changed)], []);
        for (let at = 0; at < size; at += unit) {
          const one = { offset: at, length: Math.min(unit, size - at) };
          const touched = totalLength(intersect([one], changed)) > 0;
          assert.equal(totalLength(intersect([one], sorted)), touched ? 0 : one.length);
        }
      }),
      { numRuns: 60 },
    );
  });
});
