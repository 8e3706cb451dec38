import assert from 'node:assert/strict';
import { LentBlocks } from './lent-blocks.js';

describe('LentBlocks', () => {
  it('lends as often as it is asked of half the blocks, and of no other', () => {
    const lent = new LentBlocks({ length: 80, block: 16 });
    assert.deepEqual(
      [0, 15, 64, 16, 79, 32].map((offset) => lent.take(offset)),
      [true, true, true, false, true, false],
    );
  });

  it('lends of another block when all loans of one are back', () => {
    const lent = new LentBlocks({ length: 32, block: 16 });
    assert.ok(lent.take(0) && lent.take(8));
    lent.give(0);
    assert.equal(lent.take(16), false);
    lent.give(8);
    assert.equal(lent.take(16), true);
  });

  it('lends nothing of a single block', () => {
    assert.equal(new LentBlocks({ length: 16, block: 16 }).take(0), false);
  });
});
