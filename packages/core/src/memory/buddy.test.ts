import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BuddyBlocks } from './buddy.js';

describe('BuddyBlocks', () => {
  const shape = { length: 64, smallest: 1, largest: 16 };

  it('hands out all there is, whatever the lengths, and joins what is free again', () => {
    const blocks = new BuddyBlocks(shape);
    const small = Array.from({ length: 64 }, () => blocks.take(1));
    assert.equal(new Set(small).size, 64);
    assert.equal(blocks.take(1), undefined);
    for (const offset of small) blocks.give(offset ?? -1);
    assert.equal(blocks.isIdle, true);
    const large = Array.from({ length: 4 }, () => blocks.take(16));
    assert.deepEqual(
      large.toSorted((left = 0, right = 0) => left - right),
      [0, 16, 32, 48],
    );
    assert.equal(blocks.take(1), undefined);
  });

  it('takes a whole power of two for what is less', () => {
    const blocks = new BuddyBlocks({ length: 16, smallest: 4, largest: 16 });
    assert.equal(blocks.take(1), 0);
    assert.equal(blocks.take(5), 8);
    assert.equal(blocks.take(4), 4);
    assert.equal(blocks.take(1), undefined);
  });

  it('never lends a byte twice, and all of it again at the end', () => {
    const step = fc.record({ length: fc.integer({ min: 1, max: 16 }), giveBack: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const blocks = new BuddyBlocks(shape);
        const held: { offset: number; length: number }[] = [];
        for (const { length, giveBack } of steps) {
          const offset = blocks.take(length);
          if (offset !== undefined) {
            assert.ok(offset >= 0 && offset + length <= shape.length);
            for (const other of held)
              assert.ok(offset + length <= other.offset || other.offset + other.length <= offset);
            held.push({ offset, length });
          }
          if (offset === undefined || giveBack % 3 === 0) {
            const [gone] = held.splice(giveBack % Math.max(1, held.length), 1);
            if (gone !== undefined) blocks.give(gone.offset);
          }
        }
        for (const { offset } of held) blocks.give(offset);
        for (let count = 0; count < 4; count += 1) assert.notEqual(blocks.take(16), undefined);
      }),
    );
  });
});
