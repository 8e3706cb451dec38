import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { OpenQueue } from './open-queue.js';

describe('OpenQueue', () => {
  it('runs one after the other, in order, also behind one that failed', async () => {
    const queue = new OpenQueue();
    const told: string[] = [];
    const work = (name: string) => async (): Promise<string> => {
      told.push(`${name} begins`);
      await turn();
      told.push(`${name} ends`);
      if (name === 'b') throw new Error('no');
      return name;
    };
    const results = await Promise.allSettled(['a', 'b', 'c'].map((name) => queue.run(work(name))));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(told, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });
});
