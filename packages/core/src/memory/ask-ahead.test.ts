import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { askAhead } from './ask-ahead.js';

const never = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

describe('askAhead', () => {
  it('hands on the answers in order, however they come, and never asks for more at once than it may', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 3 }), { maxLength: 20 }), fc.integer({ min: 1, max: 5 }), check),
      { numRuns: 30 },
    );
    async function check(delays: readonly number[], atOnce: number): Promise<void> {
      let underWay = 0;
      let most = 0;
      const ask = async (item: number): Promise<number> => {
        underWay += 1;
        most = Math.max(most, underWay);
        for (let turn = delays[item] ?? 0; turn >= 0; turn -= 1) await new Promise(setImmediate);
        underWay -= 1;
        return item * 10;
      };
      const answers: number[] = [];
      for await (const { item, answer } of askAhead({ items: delays.keys(), atOnce, ask })) {
        assert.equal(answer, item * 10);
        answers.push(item);
      }
      assert.deepEqual(answers, [...delays.keys()]);
      assert.equal(most, Math.min(atOnce, delays.length));
    }
  });

  it('aborts what is on its way when nobody wants more', async () => {
    const aborted: number[] = [];
    const ask = async (item: number, { signal }: { readonly signal: AbortSignal }): Promise<number> => {
      if (item === 0) return item;
      await never(signal).catch(() => aborted.push(item));
      return item;
    };
    for await (const { answer } of askAhead({ items: [0, 1, 2, 3], atOnce: 3, ask })) {
      assert.equal(answer, 0);
      break;
    }
    assert.deepEqual(aborted, [1, 2]);
  });

  it('throws the failure that comes first in order, after what was answered before it', async () => {
    const ask = async (item: number): Promise<number> => {
      await delay(item === 1 ? 5 : 0);
      if (item > 0) throw new Error(`no answer to ${item}`);
      return item;
    };
    const answers: number[] = [];
    await assert.rejects(async () => {
      for await (const { answer } of askAhead({ items: [0, 1, 2], atOnce: 3, ask })) answers.push(answer);
    }, /no answer to 1/);
    assert.deepEqual(answers, [0]);
  });

  it('ends with the reason of its signal', async () => {
    const stop = new AbortController();
    const asking = askAhead({
      items: [0, 1],
      atOnce: 2,
      ask: (_, { signal }) => never(signal),
      signal: stop.signal,
    }).next();
    stop.abort(new Error('enough'));
    await assert.rejects(asking, /enough/);
  });
});
