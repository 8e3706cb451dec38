import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Adler32, adler32 } from './adler32.js';

/** RFC 1950 as it is written: one byte, two remainders. */
function plain(bytes: Uint8Array): number {
  let [low, high] = [1, 0];
  for (const byte of bytes) {
    low = (low + byte) % 65521;
    high = (high + low) % 65521;
  }
  return high * 65536 + low;
}

describe('adler32', () => {
  it('of nothing is 1, and of "Wikipedia" the published value', () => {
    assert.equal(adler32(Buffer.alloc(0)), 1);
    assert.equal(adler32(Buffer.from('Wikipedia')), 0x11e60398);
  });

  it('of the largest bytes stays exact', () => {
    const bytes = Buffer.alloc(200_003, 0xff);
    assert.equal(adler32(bytes), plain(bytes));
  });

  it('of long and short pieces in any order is that of the whole', () => {
    const pieces = [70_000, 3, 16_384, 16_383, 300_001, 1].map((length, index) => Buffer.alloc(length, 255 - index));
    for (const order of [pieces, pieces.toReversed()]) {
      const sum = new Adler32();
      for (const piece of order) sum.update(piece);
      assert.equal(sum.digest(), plain(Buffer.concat(order)));
    }
  });

  it('does not depend on how the input is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), (pieces) => {
        const sum = new Adler32();
        for (const piece of pieces) sum.update(piece);
        assert.equal(sum.digest(), plain(Buffer.concat(pieces)));
      }),
    );
  });
});
