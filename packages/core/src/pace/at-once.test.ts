import assert from 'node:assert/strict';
import { FakeClock } from '../testing/fake-clock.js';
import { atOnce } from './at-once.js';

describe('atOnce', () => {
  it('works on as many as it is told, begun in order, and returns in order', async () => {
    const clock = new FakeClock();
    const log: string[] = [];
    let running = 0;
    let most = 0;
    const work = async (seconds: number): Promise<string> => {
      running += 1;
      most = Math.max(most, running);
      log.push(`${clock.now() / 1000} ${seconds}`);
      await clock.sleep(seconds * 1000);
      running -= 1;
      return `of ${seconds}`;
    };
    const done = atOnce([3, 1, 4, 1], { count: 2 }, work);
    await clock.advance();
    assert.deepEqual(await done, ['of 3', 'of 1', 'of 4', 'of 1']);
    assert.equal(most, 2);
    assert.deepEqual(log, ['0 3', '0 1', '1 4', '3 1']);
  });

  it('tells the first failure when those that it stopped have ended, and begins no more', async () => {
    const begun: string[] = [];
    let ended = false;
    const work = async (name: string, { signal }: { readonly signal: AbortSignal }): Promise<void> => {
      begun.push(name);
      if (name === 'bad') throw new Error('the first');
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await Promise.resolve();
      ended = true;
      throw new Error('the second');
    };
    await assert.rejects(() => atOnce(['good', 'bad', 'late'], { count: 2 }, work), /the first/);
    assert.ok(ended);
    assert.deepEqual(begun, ['good', 'bad']);
  });

  it('hands the signal of the caller on', async () => {
    const controller = new AbortController();
    const done = atOnce([1], { count: 1, signal: controller.signal }, async (_item, { signal }) => {
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    });
    controller.abort(new Error('enough'));
    await assert.rejects(done, /enough/);
  });
});
