import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AllocationKind } from '../extent/index.js';
import { Cover, type Finding } from './cover.js';

const SIZE = 48;

const findings = fc
  .array(
    fc.record({
      offset: fc.nat(SIZE),
      length: fc.nat(12),
      kind: fc.constantFrom<AllocationKind>('data', 'zero', 'hole'),
    }),
    { maxLength: 8 },
  )
  .map((all) => all.sort((left, right) => left.offset - right.offset));

/** One kind per byte; what was found first stays. */
function model(all: readonly Finding[]): readonly AllocationKind[] {
  const bytes: (AllocationKind | undefined)[] = Array.from({ length: SIZE + 20 }, () => undefined);
  let at = 0;
  for (const { offset, length, kind } of all) {
    for (let byte = Math.max(at, offset); byte < offset + length; byte++) bytes[byte] = kind;
    at = Math.max(at, offset + length);
  }
  return bytes.map((kind) => kind ?? 'hole');
}

describe('a cover', () => {
  it('is complete, ascending, joined, clipped, and says of every byte what was found', () => {
    fc.assert(
      fc.property(findings, fc.nat(SIZE), fc.nat(SIZE), fc.nat(8), (all, offset, wanted, taken) => {
        const range = { offset, length: Math.min(wanted, SIZE - offset) };
        const cover = new Cover(range);
        const extents = all.flatMap((finding, index) => {
          cover.add(finding);
          return index === taken ? cover.take() : [];
        });
        extents.push(...cover.end());
        let end = range.offset;
        for (const [index, extent] of extents.entries()) {
          assert.equal(extent.offset, end);
          assert.ok(extent.length > 0);
          assert.notEqual(extent.kind, extents[index - 1]?.kind);
          end += extent.length;
        }
        assert.equal(end, range.offset + range.length);
        const bytes = extents.flatMap(({ kind, length }) => Array.from({ length }, () => kind));
        assert.deepEqual(bytes, model(all).slice(range.offset, range.offset + range.length));
      }),
    );
  });

  it('keeps neighbours apart that lie apart on the device, and moves the place when it cuts', () => {
    const cover = new Cover({ offset: 10, length: 40 });
    cover.add({ offset: 0, length: 20, kind: 'data', physical: 1000 });
    cover.add({ offset: 20, length: 10, kind: 'data', physical: 1020 });
    cover.add({ offset: 30, length: 30, kind: 'data', physical: 5000 });
    assert.deepEqual(cover.end(), [
      { offset: 10, length: 20, kind: 'data', physical: 1010 },
      { offset: 30, length: 20, kind: 'data', physical: 5000 },
    ]);
  });

  it('is empty for an empty range', () => {
    const cover = new Cover({ offset: 10, length: 0 });
    cover.add({ offset: 0, length: 20, kind: 'data' });
    assert.deepEqual(cover.end(), []);
  });
});
