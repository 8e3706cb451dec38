import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AllocationExtent, Extent } from '../../extent/index.js';
import type { BlockReader } from '../../hypervisor/index.js';
import { type PlannedRange, planCopy } from './plan-copy.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const UNIT = 64 * KiB;
const ALIGNMENT = 512;

/** A reader that calls `data` data, leaves `unknown` out of its answers, and notes what it was asked. */
function readerOf(
  size: number,
  tell: (range: Extent) => Iterable<AllocationExtent>,
): BlockReader & { asked: Extent[] } {
  const asked: Extent[] = [];
  return {
    asked,
    size,
    limits: { alignment: ALIGNMENT, maximumRequest: MiB, maximumInFlight: 4 },
    read: () => Promise.reject(new Error('a plan reads nothing')),
    allocation: async function* (range) {
      asked.push(range);
      yield* tell(range);
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function planned(reader: BlockReader, extents: readonly Extent[], size = reader.size): Promise<PlannedRange[]> {
  const ranges: PlannedRange[] = [];
  for await (const window of planCopy({ reader, size, extents, unit: UNIT })) ranges.push(...window);
  return ranges;
}

/** Units of the disk, by what becomes of them. */
type Unit = 'data' | 'zero' | 'unknown';

describe('the plan of a copy', () => {
  it('reads every wanted unit that holds data or is unknown, and no other', async () => {
    const unit = fc.constantFrom<Unit>('data', 'zero', 'unknown');
    const disk = fc.array(fc.record({ unit, wanted: fc.boolean() }), { minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(disk, fc.nat(UNIT - 1), async (units, tail) => {
        const size = units.length * UNIT - tail;
        const end = Math.ceil(size / ALIGNMENT) * ALIGNMENT;
        const reader = readerOf(end, function* (range) {
          for (const [index, { unit: kind }] of units.entries()) {
            const offset = Math.max(index * UNIT, range.offset);
            const length = Math.min((index + 1) * UNIT, range.offset + range.length) - offset;
            if (kind !== 'unknown' && length > 0) yield { kind: kind === 'data' ? 'data' : 'hole', offset, length };
          }
        });
        const extents = units.flatMap(({ wanted }, index) =>
          wanted ? [{ offset: index * UNIT + 10, length: Math.min(50, size - index * UNIT - 10) }] : [],
        );
        const ranges = await planned(
          reader,
          extents.filter(({ length }) => length > 0),
          size,
        );
        const kinds = units.map(() => 'none');
        let last = 0;
        for (const { kind, offset, length } of ranges) {
          assert.ok(offset >= last && length > 0, 'ascending and disjoint');
          last = offset + length;
          for (let at = offset; at < last; at += UNIT) kinds[at / UNIT] = kind;
        }
        assert.ok(last <= size, 'inside the disk');
        const expected = units.map(({ unit: kind, wanted }, index) => {
          if (!wanted || size - index * UNIT <= 10) return 'none';
          return kind === 'zero' ? 'zero' : 'data';
        });
        assert.deepEqual(kinds, expected);
      }),
    );
  });

  it('asks the server once about neighbours, and not about what is far away', async () => {
    const reader = readerOf(4096 * MiB, (range) => [{ kind: 'data', ...range }]);
    const near = Array.from({ length: 100 }, (_, index) => ({ offset: index * MiB, length: UNIT }));
    await planned(reader, [...near, { offset: 3000 * MiB, length: UNIT }]);
    assert.deepEqual(reader.asked, [
      { offset: 0, length: 99 * MiB + UNIT },
      { offset: 3000 * MiB, length: UNIT },
    ]);
  });

  it('asks about no more at once than one request of NBD may be about', async () => {
    const reader = readerOf(2560 * MiB, (range) => [{ kind: 'hole', ...range }]);
    const ranges = await planned(reader, [{ offset: 512 * MiB, length: 2048 * MiB }]);
    assert.deepEqual(
      reader.asked.map(({ offset, length }) => [offset / MiB, length / MiB]),
      [
        [512, 1535],
        [2047, 513],
      ],
    );
    assert.equal(
      ranges.reduce((sum, { length }) => sum + length, 0),
      2048 * MiB,
    );
  });
});
