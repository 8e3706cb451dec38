import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import fc from 'fast-check';
import { copyInto, fillZeros } from './shared-bytes.js';

const MiB = 1024 * 1024;
const shared = (length: number): Buffer => Buffer.from(new SharedArrayBuffer(length)).fill(7);

describe('fillZeros', () => {
  const ranges = [
    [0, 0],
    [0, 1],
    [5, 4101],
    [1, MiB],
    [0, MiB],
    [3, 2 * MiB + 9],
  ] as const;
  for (const [start, end] of ranges) {
    it(`does what fill does from ${start} to ${end}`, () => {
      const bytes = shared(2 * MiB + 20);
      fillZeros(bytes, start, end);
      assert.ok(bytes.equals(Buffer.alloc(bytes.length, 7).fill(0, start, end)));
    });
  }
});

describe('copyInto', () => {
  it('does what copy does, whatever fits', () => {
    const place = fc.nat({ max: 40 });
    fc.assert(
      fc.property(place, place, place, (length, at, from) => {
        const source = randomFillSync(Buffer.alloc(length));
        const mine = shared(32);
        const expected = Buffer.alloc(32, 7);
        const start = Math.min(from, length);
        const count = source.copy(expected, at, start);
        assert.equal(copyInto(mine, at, source, start), count);
        assert.deepEqual(mine, Buffer.from(expected));
      }),
    );
  });
});
