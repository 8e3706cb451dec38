import assert from 'node:assert/strict';
import fc from 'fast-check';
import { areStates, type BlockState, setStates, stateAt, stateRuns } from './states-bitmap.js';

const BLOCKS = 64;

describe('the states of blocks', () => {
  it('are those of a plain list, however they are set', () => {
    const change = fc.record({
      state: fc.constantFrom<BlockState>('base', 'data', 'zero'),
      first: fc.nat(BLOCKS - 1),
      length: fc.integer({ min: 1, max: BLOCKS }),
    });
    fc.assert(
      fc.property(fc.array(change), change, (changes, looked) => {
        const states = Buffer.alloc(BLOCKS / 4);
        const model = Array<BlockState>(BLOCKS).fill('base');
        for (const { state, first, length } of changes) {
          const count = Math.min(length, BLOCKS - first);
          setStates(states, { state, first, count });
          model.fill(state, first, first + count);
        }
        assert.ok(areStates(states));
        model.forEach((state, block) => assert.equal(stateAt(states, block), state));
        const count = Math.min(looked.length, BLOCKS - looked.first);
        const runs = [...stateRuns(states, { first: looked.first, count })];
        const seen = runs.flatMap((run) => Array<BlockState>(run.count).fill(run.state));
        assert.deepEqual(seen, model.slice(looked.first, looked.first + count));
        assert.ok(
          runs.every((run, index) => run.state !== runs[index + 1]?.state),
          'neighbours differ',
        );
      }),
    );
  });

  it('knows a state that is none', () => {
    assert.equal(areStates(Buffer.from([0b10_01_00_10])), true);
    for (const byte of [3, 3 << 2, 3 << 4, 3 << 6]) assert.equal(areStates(Buffer.from([0, byte])), false);
  });
});
