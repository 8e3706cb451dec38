import assert from 'node:assert/strict';
import { limiterOf, parseRate } from './limit-rate.js';

const KIB = 1024;

describe('parseRate', () => {
  const rates: readonly (readonly [string, number | undefined])[] = [
    ['1', 1],
    ['500K', 500 * KIB],
    ['20M', 20 * KIB ** 2],
    ['20m', 20 * KIB ** 2],
    ['1.5G', 1.5 * KIB ** 3],
    ['2T', 2 * KIB ** 4],
    ['0.001K', 1],
    ['0', undefined],
    ['0.0M', undefined],
    ['0.5', undefined],
    ['', undefined],
    ['K', undefined],
    ['-5', undefined],
    ['1e6', undefined],
    ['5 M', undefined],
    ['5MB', undefined],
    ['9007199254740993', undefined],
    ['100000T', undefined],
  ];
  for (const [text, rate] of rates) {
    it(`reads '${text}' as ${rate ?? 'no rate'}`, () => {
      assert.equal(parseRate(text), rate);
    });
  }
});

describe('limiterOf', () => {
  it('limits only what was asked for', async () => {
    assert.equal(await limiterOf(undefined), undefined);
    assert.equal((await limiterOf(4096))?.bytesPerSecond, 4096);
  });
});
