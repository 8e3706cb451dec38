import assert from 'node:assert/strict';
import fc from 'fast-check';
import { zeroRuns } from './zero-runs.js';

const PAGE_LENGTH = 4096;

describe('zeroRuns', () => {
  it('covers the buffer, calls only zeros zero, and finds every long run of zero units', () => {
    const pages = fc.array(fc.boolean(), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(pages, fc.integer({ min: 1, max: 3 }), fc.nat(PAGE_LENGTH - 1), (zeros, shortest, cut) => {
        const bytes = Buffer.alloc(zeros.length * PAGE_LENGTH - cut);
        for (const [page, zero] of zeros.entries())
          if (!zero) bytes.fill(1, page * PAGE_LENGTH, page * PAGE_LENGTH + 1);
        const runs = [...zeroRuns(bytes, { unit: PAGE_LENGTH, shortest: shortest * PAGE_LENGTH })];
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
