import assert from 'node:assert/strict';
import fc from 'fast-check';
import { COMMAND_NAMES } from './program.js';
import { distanceBetween, suggest } from './suggest.js';

describe('suggest', () => {
  for (const [word, meant] of [
    ['lsit', 'list'],
    ['lst', 'list'],
    ['bakcup', 'backup'],
    ['verfy', 'verify'],
    ['restroe', 'restore'],
    ['inof', 'info'],
    ['docter', 'doctor'],
  ] as const) {
    it(`takes ${word} for ${meant}`, () => assert.equal(suggest(word, COMMAND_NAMES), meant));
  }

  for (const word of ['xvda', 'web01', '8f2a51c4-0000-0000-0000-000000000000', 'vm:list', '', 'x']) {
    it(`takes ${JSON.stringify(word)} for no command`, () => assert.equal(suggest(word, COMMAND_NAMES), undefined));
  }
});

describe('distanceBetween', () => {
  it('is a distance: nothing for the same word, the same both ways, at most the longer word', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        assert.equal(distanceBetween(a, a), 0);
        assert.equal(distanceBetween(a, b), distanceBetween(b, a));
        assert.ok(distanceBetween(a, b) <= Math.max(a.length, b.length));
      }),
    );
  });
});
