import assert from 'node:assert/strict';
import { hold, median, PEAK_LIMIT } from './contest.js';

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

  it('judges the first of ours against the peer and each rival, and its memory against a limit', async () => {
    const of = (name: string, seconds: number, peakBytes?: number) => ({
      name,
      run: () => Promise.resolve({ seconds, cpuSeconds: seconds, peakBytes }),
    });
    const standings = await hold(
      {
        name: 'race',
        bytes: 1,
        peer: of('peer', 2),
        rivals: [{ contender: of('rival', 1), target: { time: 1.5 } }, { contender: of('shown', 1) }],
        ours: [of('ours', 2, PEAK_LIMIT + 1), of('also ours', 9)],
        target: { time: 1, cpu: 0.9 },
      },
      1,
    );
    assert.deepEqual(
      standings.flatMap(({ contender, verdicts }) =>
        verdicts.map(({ measure, against, met }) => [contender, measure, against, met]),
      ),
      [
        ['ours', 'time', 'peer', true],
        ['ours', 'cpu', 'peer', false],
        ['ours', 'time', 'rival', false],
        ['ours', 'peakBytes', '', false],
      ],
    );
  });

  it('holds no more rounds than a contest needs', async () => {
    let runs = 0;
    const contender = { name: 'any', run: () => Promise.resolve({ seconds: ++runs, cpuSeconds: 1 }) };
    await hold({ name: 'race', bytes: 1, peer: contender, ours: [], mostRounds: 2 }, 5);
    assert.equal(runs, 3);
    await hold({ name: 'race', bytes: 1, peer: contender, ours: [], mostRounds: 2 }, 1);
    assert.equal(runs, 5);
  });

  it('takes the mean of the middle two of an even count', () => {
    assert.equal(median([4, 1, 3, 2]), 2.5);
  });
});
