import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Xxh32, xxh32 } from './xxh32.js';

describe('xxh32', () => {
  // Known values: the empty input and "abc" stand in every port's tests; the long one is `xxhsum -H0`.
  const known: readonly (readonly [string, number])[] = [
    ['', 0x02cc5d05],
    ['a', 0x550d7456],
    ['abc', 0x32d153ff],
    ['Nobody inspects the spammish repetition', 0xe2293b2f],
  ];
  for (const [text, hash] of known) {
    it(`of "${text}" is the published value`, () => assert.equal(xxh32(Buffer.from(text)), hash));
  }

  it('does not depend on how the input is cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(199), { maxLength: 5 }), (input, cuts) => {
        const bytes = Buffer.from(input);
        const ends = [...cuts.filter((cut) => cut < bytes.length), bytes.length].toSorted((x, y) => x - y);
        const hash = new Xxh32();
        let from = 0;
        for (const end of ends) {
          hash.update(bytes.subarray(from, end));
          from = end;
        }
        assert.equal(hash.digest(), xxh32(bytes));
      }),
    );
  });
});
