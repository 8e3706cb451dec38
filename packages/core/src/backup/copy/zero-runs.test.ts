import assert from 'node:assert/strict';
import fc from 'fast-check';
import { frameLengthOf, PAGE_LENGTH, shortestZeroRunOf, slotCountOf } from './geometry.js';
import { zeroRuns } from './zero-runs.js';

describe('zeroRuns', () => {
  it('covers the buffer, calls only zeros zero, and finds every long run of zero pages', () => {
    const pages = fc.array(fc.boolean(), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(pages, fc.integer({ min: 1, max: 3 }), fc.nat(PAGE_LENGTH - 1), (zeros, shortest, cut) => {
        const bytes = Buffer.alloc(zeros.length * PAGE_LENGTH - cut);
        for (const [page, zero] of zeros.entries())
          if (!zero) bytes.fill(1, page * PAGE_LENGTH, page * PAGE_LENGTH + 1);
        const runs = [...zeroRuns(bytes, shortest * PAGE_LENGTH)];
        let end = 0;
        for (const { kind, offset, length } of runs) {
          assert.equal(offset, end);
          assert.equal(offset % PAGE_LENGTH, 0);
          end += length;
          const empty = bytes.subarray(offset, end).every((byte) => byte === 0);
          assert.ok(kind === 'data' ? !empty || length < shortest * PAGE_LENGTH : empty);
        }
        assert.equal(end, bytes.length);
        assert.ok(runs.every(({ kind }, at) => kind !== runs[at - 1]?.kind));
      }),
      { numRuns: 50 },
    );
  });
});

describe('the length of frames', () => {
  it('grows with the disk in powers of two, from 1 MiB to 16 MiB', () => {
    const MiB = 1024 * 1024;
    const TiB = MiB * MiB;
    const sizes = [1, 1024 * MiB, TiB, TiB + 1, 4 * TiB, 16 * TiB, 64 * TiB];
    assert.deepEqual(
      sizes.map((size) => frameLengthOf(size) / MiB),
      [1, 1, 1, 2, 4, 16, 16],
    );
  });

  it('keeps the pools within their bytes, with two slots at least', () => {
    for (let length = 1024 * 1024; length <= 16 * 1024 * 1024; length *= 2) {
      assert.ok(slotCountOf(length) >= 2 && slotCountOf(length) * length <= 32 * 1024 * 1024);
      assert.ok(shortestZeroRunOf(length) >= PAGE_LENGTH);
    }
  });
});
