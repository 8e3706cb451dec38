import assert from 'node:assert/strict';
import { withFifoFlag } from './fifo-flag.js';

describe('withFifoFlag', () => {
  for (const [line, expected] of [
    ['vma extract -v -r f - d', 'vma extract -v --fifo f - d'],
    ['-r repository vma extract a d', '-r repository vma extract a d'],
    ['vma extract -- -r d', 'vma extract -- -r d'],
    ['vma list -r x a', 'vma list -r x a'],
    ['extract -r x', 'extract -r x'],
  ] as const) {
    it(`makes "${expected}" of "${line}"`, () => {
      assert.equal(withFifoFlag(line.split(' ')).join(' '), expected);
    });
  }
});
