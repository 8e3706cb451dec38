import assert from 'node:assert/strict';
import { hold, median } from './contest.js';

describe('a contest', () => {
  it('lets contenders take turns, and compares medians without the first round', async () => {
    const order: string[] = [];
    const contender = (name: string, seconds: readonly number[]) => {
      let round = 0;
      return {
        name,
        run: () => {
          order.push(name);
          const cost = { seconds: seconds[round++] ?? 0, cpuSeconds: 1 };
          return Promise.resolve(cost);
        },
      };
    };
    const peer = contender('peer', [100, 2, 4, 3]);
    const ours = [contender('ours', [100, 1, 9, 1.5])];
    const standings = await hold({ name: 'race', bytes: 300, peer, ours, target: { time: 1, cpu: 1 } }, 3);
    assert.deepEqual(order, ['peer', 'ours', 'peer', 'ours', 'peer', 'ours', 'peer', 'ours']);
    assert.deepEqual(
      standings.map(({ seconds, timeRatio, bytesPerSecond }) => [seconds, timeRatio, bytesPerSecond]),
      [
        [3, 1, 100],
        [1.5, 0.5, 200],
      ],
    );
  });

  it('takes the mean of the middle two of an even count', () => {
    assert.equal(median([4, 1, 3, 2]), 2.5);
  });
});
