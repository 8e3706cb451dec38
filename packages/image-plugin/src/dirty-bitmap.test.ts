import assert from 'node:assert/strict';
import { type Extent, intersect, totalLength, type Warning } from '@vbackup/core';
import fc from 'fast-check';
import { decideChanges } from './decide-changes.js';
import { bitmapFault, changedRanges, evidenceOf, type SeenBitmap } from './dirty-bitmap.js';

const UNIT = 65_536;
const at = (...units: readonly number[]): Extent[] => units.map((unit) => ({ offset: unit * UNIT, length: UNIT }));
const seen = (dirty: readonly Extent[], more: Partial<SeenBitmap> = {}): SeenBitmap => ({
  name: 'b0',
  granularity: UNIT,
  file: null,
  dirty,
  clusterLength: null,
  ...more,
});

describe('a dirty bitmap', () => {
  it('is trusted while it only grows', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(2000), { minLength: 1 }), fc.array(fc.nat(2000)), (before, more) => {
        const sorted = (units: readonly number[]): Extent[] => at(...[...new Set(units)].toSorted((a, b) => a - b));
        const last = evidenceOf(seen(sorted(before)));
        assert.equal(bitmapFault(last, seen(sorted([...before, ...more]))), null);
        assert.ok(last.sample.length <= 513);
      }),
    );
  });

  const cases: readonly (readonly [string, SeenBitmap | null, SeenBitmap, RegExp])[] = [
    ['the last backup did not see', null, seen(at(1)), /did not see/],
    ['has another name', seen(at(1), { name: 'b1' }), seen(at(1)), /did not see/],
    ['has another granularity', seen(at(1), { granularity: 4096 }), seen(at(1)), /granularity/],
    ['is in another file', seen(at(1), { file: '12 1' }), seen(at(1), { file: '12 2' }), /another file/],
    ['was empty', seen([]), seen(at(1)), /empty/],
    ['was cleared', seen(at(1, 5)), seen([]), /cleared or replaced/],
    ['was cleared and filled again', seen(at(1, 5)), seen(at(1, 6)), /cleared or replaced/],
  ];
  for (const [what, before, now, reason] of cases) {
    it(`is not trusted if it ${what}`, () => {
      const warnings: Warning[] = [];
      const since = { size: 10 * UNIT, bitmap: before === null ? null : evidenceOf(before) };
      const source = { size: 10 * UNIT, bitmap: now };
      const changes = decideChanges({ since, source, warn: (warning) => warnings.push(warning) });
      const extents = [{ offset: 0, length: 10 * UNIT }];
      assert.deepEqual(changes, { kind: 'compare', extents, method: 'digests' });
      assert.deepEqual(
        warnings.map(({ code }) => code),
        ['VB_BITMAP_UNTRUSTED'],
      );
      assert.match(warnings[0]?.message ?? '', reason);
    });
  }

  it('limits what is compared, and what the disk grew by counts as dirty', () => {
    const since = { size: 10 * UNIT, bitmap: evidenceOf(seen(at(1))) };
    const source = { size: 12 * UNIT + 100, bitmap: seen(at(1, 3, 11, 12)) };
    assert.deepEqual(decideChanges({ since, source, warn: ({ message }) => assert.fail(message) }), {
      kind: 'compare',
      method: 'dirty-bitmap',
      forgetful: { blockLength: UNIT },
      extents: [...at(1, 3), { offset: 10 * UNIT, length: 2 * UNIT + 100 }],
    });
    assert.deepEqual(decideChanges({ since: null, source, warn: ({ message }) => assert.fail(message) }), {
      kind: 'all',
    });
  });

  it('lets what was dirty at the last backup be compared, also where the image is an older one again', () => {
    const written = at(...Array.from({ length: 3000 }, (_, unit) => unit * 3));
    const size = 9000 * UNIT;
    const since = { size, bitmap: evidenceOf(seen(written)) };
    fc.assert(
      fc.property(fc.nat(2999), (lost) => {
        // What was written last is gone from the disk, and from the bitmap in it.
        const now = seen(written.toSpliced(lost, 1));
        const changes = decideChanges({ since, source: { size, bitmap: now }, warn: () => undefined });
        assert.ok(changes.kind === 'compare');
        assert.equal(totalLength(intersect(written.slice(lost, lost + 1), changes.extents)), UNIT);
      }),
    );
  });

  it('is remembered in bounded space', () => {
    const units = Array.from({ length: 40_000 }, (_, unit) => unit * 2);
    const { cover } = evidenceOf(seen(at(...units)));
    assert.ok(cover.length <= 4096);
    const extents = cover.map(([offset, length]) => ({ offset, length }));
    assert.equal(totalLength(intersect(extents, at(...units))), units.length * UNIT);
  });

  it('is known to forget what is cut off, in clusters as long as the image says, or as they usually are', () => {
    const since = { size: 10 * UNIT, bitmap: evidenceOf(seen(at(1))) };
    for (const [clusterLength, blockLength] of [
      [4096, 4096],
      [null, UNIT],
    ] as const) {
      const source = { size: 10 * UNIT, bitmap: seen(at(1, 4), { clusterLength }) };
      const changes = decideChanges({ since, source, warn: ({ message }) => assert.fail(message) });
      const expected = { kind: 'compare', method: 'dirty-bitmap', extents: at(1, 4), forgetful: { blockLength } };
      assert.deepEqual(changes, expected);
    }
  });

  it('stays within the disk, ascending and disjoint, whatever the server says', () => {
    const units = fc.uniqueArray(fc.nat(40)).map((list) => at(...list.toSorted((a, b) => a - b)));
    fc.assert(
      fc.property(units, units, fc.nat(40 * UNIT), fc.nat(40 * UNIT), (once, dirty, before, now) => {
        let end = 0;
        const ranges = changedRanges({
          before: { size: before, bitmap: evidenceOf(seen(once)) },
          now: { size: now, bitmap: { dirty } },
        });
        for (const { offset, length } of ranges) {
          assert.ok(offset >= end && length > 0);
          end = offset + length;
        }
        assert.ok(end <= now);
        if (now > before) assert.ok(totalLength(ranges) >= now - before);
      }),
    );
  });
});
