import assert from 'node:assert/strict';
import { frameLengthOf, PAGE_LENGTH, requestLengthOf, shortestZeroRunOf, slotCountOf } from './geometry.js';

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

describe('the length of requests', () => {
  const KiB = 1024;
  const MiB = 1024 * KiB;
  const limits = { alignment: 1, maximumRequest: 32 * MiB, maximumInFlight: 32 };
  const cases = [
    ['is 512 KiB where as much as is wanted fits into so many', { bytes: 4 * MiB, expected: 512 * KiB }],
    ['grows by pages with what is in flight', { bytes: 17.5 * MiB, expected: 576 * KiB }],
    ['is 1 MiB where few may be in flight', { bytes: 4 * MiB, maximumInFlight: 4, expected: MiB }],
    ['is never more', { bytes: 24 * MiB, maximumInFlight: 1, expected: MiB }],
    ['is what the device takes', { bytes: 4 * MiB, maximumRequest: 64 * KiB, expected: 64 * KiB }],
    ['is a multiple of its units', { bytes: 17.5 * MiB, alignment: 256 * KiB, expected: 768 * KiB }],
    ['is a unit if that is longer', { bytes: 4 * MiB, alignment: MiB, expected: MiB }],
  ] as const;
  for (const [name, { bytes, expected, ...own }] of cases) {
    it(name, () => assert.equal(requestLengthOf(bytes, { ...limits, ...own }), expected));
  }
});
