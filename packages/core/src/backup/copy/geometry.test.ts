import assert from 'node:assert/strict';
import { frameLengthOf, PAGE_LENGTH, shortestZeroRunOf, slotCountOf } from './geometry.js';

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
