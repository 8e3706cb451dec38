import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Extent } from './extent.js';
import { alignOutward, clip, coalesce, complement, intersect, splitAt, subtract, totalLength } from './operations.js';

const SIZE = 64;

/** The extents as one boolean per byte: the model that every operation is compared with. */
const bytesOf = (extents: Iterable<Extent>): boolean[] => {
  const bytes = Array.from({ length: SIZE }, () => false);
  for (const { offset, length } of extents) bytes.fill(true, offset, offset + length);
  return bytes;
};

const layout = fc
  .array(fc.boolean(), { minLength: SIZE, maxLength: SIZE })
  .map((bytes) => [...coalesce(bytes.flatMap((set, offset) => (set ? [{ offset, length: 1 }] : [])))]);

const assertCanonical = (extents: readonly Extent[]): void => {
  let end = -1;
  for (const extent of extents) {
    assert.ok(extent.length > 0 && extent.offset >= end, JSON.stringify(extents));
    end = extent.offset + extent.length;
  }
};

describe('extent operations', () => {
  it('intersect and subtract agree with the same operation on single bytes', () => {
    fc.assert(
      fc.property(layout, layout, (left, right) => {
        const [a, b] = [bytesOf(left), bytesOf(right)];
        const both = [...intersect(left, right)];
        const rest = [...subtract(left, right)];
        assertCanonical(both);
        assertCanonical(rest);
        assert.deepEqual(
          bytesOf(both),
          a.map((set, at) => set && b[at]),
        );
        assert.deepEqual(
          bytesOf(rest),
          a.map((set, at) => set && !b[at]),
        );
        assert.equal(totalLength(both) + totalLength(rest), totalLength(left));
      }),
    );
  });

  it('a complement and its extents cover the range once', () => {
    fc.assert(
      fc.property(layout, (extents) => {
        const gaps = [...complement(extents, { offset: 0, length: SIZE })];
        assert.equal(totalLength(gaps) + totalLength(extents), SIZE);
        assert.deepEqual(
          bytesOf(gaps),
          bytesOf(extents).map((set) => !set),
        );
      }),
    );
  });

  it('splitAt keeps every byte and never crosses a multiple', () => {
    fc.assert(
      fc.property(layout, fc.integer({ min: 1, max: 20 }), (extents, length) => {
        const pieces = [...splitAt(extents, length)];
        assert.deepEqual([...coalesce(pieces)], extents);
        for (const piece of pieces) {
          assert.equal(Math.floor(piece.offset / length), Math.floor((piece.offset + piece.length - 1) / length));
        }
      }),
    );
  });

  it('alignOutward covers every byte that was there, in whole blocks', () => {
    fc.assert(
      fc.property(layout, (extents) => {
        const aligned = [...alignOutward(extents, 8)];
        assert.deepEqual([...intersect(aligned, extents)], extents);
        for (const extent of aligned) assert.equal(extent.offset % 8 === 0 && extent.length % 8 === 0, true);
      }),
    );
  });

  it('clip cuts at both ends', () => {
    assert.deepEqual(
      [
        ...clip(
          [
            { offset: 0, length: 10 },
            { offset: 20, length: 10 },
          ],
          { offset: 5, length: 20 },
        ),
      ],
      [
        { offset: 5, length: 5 },
        { offset: 20, length: 5 },
      ],
    );
  });

  it('coalesce joins across a gap when it is asked to, and drops empty extents', () => {
    const extents = [
      { offset: 0, length: 4 },
      { offset: 4, length: 0 },
      { offset: 6, length: 2 },
      { offset: 20, length: 1 },
    ];
    assert.deepEqual(
      [...coalesce(extents, { gap: 2 })],
      [
        { offset: 0, length: 8 },
        { offset: 20, length: 1 },
      ],
    );
  });

  it('is exact beyond 32 bits', () => {
    const far = { offset: 2 ** 52, length: 2 ** 40 };
    assert.deepEqual(
      [...subtract([far], [{ offset: 2 ** 52 + 1, length: 1 }])],
      [
        { offset: 2 ** 52, length: 1 },
        { offset: 2 ** 52 + 2, length: 2 ** 40 - 2 },
      ],
    );
  });
});
