import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Adler32, adler32, adler32Loop } from './adler32.js';
import { systemAdler32s } from './adler32-system.js';

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
  it('of one piece is what the fastest says', () => {
    assert.equal(adler32(Buffer.from('Wikipedia')), 0x11e60398);
  });

  it('has the zlib of Node itself, after libdeflate where that is installed', () => {
    const names = [...systemAdler32s()].map(({ name }) => name);
    assert.deepEqual(names.slice(names[0] === 'libdeflate' ? 1 : 0), ["Node's zlib"]);
  });
});

for (const { name, update } of [{ name: 'a loop', update: adler32Loop }, ...systemAdler32s()]) {
  describe(`adler32 by ${name}`, () => {
    const sumOf = (pieces: readonly Uint8Array[]): number => {
      const sum = new Adler32(update);
      for (const piece of pieces) sum.update(piece);
      return sum.digest();
    };

    it('of nothing is 1, and of "Wikipedia" the published value', () => {
      assert.equal(sumOf([]), 1);
      assert.equal(sumOf([Buffer.alloc(0)]), 1);
      assert.equal(sumOf([Buffer.from('Wikipedia'), Buffer.alloc(0)]), 0x11e60398);
    });

    it('of the largest bytes stays exact', () => {
      const bytes = Buffer.alloc(200_003, 0xff);
      assert.equal(sumOf([bytes]), plain(bytes));
    });

    it('of long and short pieces in any order is that of the whole', () => {
      const pieces = [70_000, 3, 16_384, 16_383, 300_001, 1].map((length, index) => Buffer.alloc(length, 255 - index));
      for (const order of [pieces, pieces.toReversed()]) assert.equal(sumOf(order), plain(Buffer.concat(order)));
    });

    it('does not depend on how the input is cut, nor on whether it is shared', () => {
      fc.assert(
        fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), (pieces) => {
          const whole = Buffer.concat(pieces);
          const shared = Buffer.from(new SharedArrayBuffer(whole.length));
          whole.copy(shared);
          assert.equal(sumOf(pieces), plain(whole));
          assert.equal(sumOf([shared]), plain(whole));
        }),
      );
    });
  });
}
