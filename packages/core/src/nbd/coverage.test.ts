import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Coverage } from './coverage.js';

describe('Coverage', () => {
  it('agrees with a list of every byte', () => {
    const extent = fc.record({ offset: fc.nat(30), length: fc.integer({ min: 1, max: 8 }) });
    fc.assert(
      fc.property(fc.array(extent, { maxLength: 20 }), (extents) => {
        const coverage = new Coverage();
        const seen = new Set<number>();
        for (const { offset, length } of extents) {
          const bytes = Array.from({ length }, (_, index) => offset + index);
          const fresh = bytes.every((byte) => !seen.has(byte));
          assert.equal(coverage.add({ offset, length }), fresh);
          if (fresh) for (const byte of bytes) seen.add(byte);
        }
        const first = Math.min(...seen);
        const whole = seen.size > 0 && Math.max(...seen) === first + seen.size - 1;
        assert.equal(seen.size > 0 && coverage.covers({ offset: first, length: seen.size }), whole);
      }),
    );
  });

  it('does not keep more crumbs than it has room for', () => {
    const coverage = new Coverage();
    let kept = 0;
    while (kept < 1_000_000 && coverage.add({ offset: kept * 2, length: 1 })) kept++;
    assert.equal(kept, 4096);
  });
});
