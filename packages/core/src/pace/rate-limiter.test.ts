import assert from 'node:assert/strict';
import fc from 'fast-check';
import { FakeClock } from '../testing/fake-clock.js';
import { systemClock } from './clock.js';
import { RateLimiter } from './rate-limiter.js';

const RATE = 1000;

describe('RateLimiter', () => {
  it('lets the first go at once, and each after it when those before are paid for', async () => {
    const { clock, limiter, began } = limited();
    const done = [take(500), take(250), take(250)];
    await clock.advance();
    await Promise.all(done);
    assert.deepEqual(began, [0, 400, 650]);
    function take(length: number): Promise<void> {
      return limiter.take(length).then(() => void began.push(clock.now()));
    }
  });

  it('keeps a tenth of a second of what was not used, and no more', async () => {
    const { clock, limiter } = limited();
    await clock.advanceTo(60_000);
    await limiter.take(100);
    const second = limiter.take(1);
    await second;
    assert.equal(clock.now(), 60_000, 'the bucket was full');
    await assert.doesNotReject(timed(clock, limiter.take(1000)));
    await timed(clock, limiter.take(1));
    assert.equal(clock.now(), 61_001);
  });

  it('holds the rate over any series of requests and pauses', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ length: fc.integer({ min: 1, max: 5000 }), pauseMs: fc.integer({ min: 0, max: 800 }) })),
        async (requests) => {
          const { clock, limiter } = limited();
          let total = 0;
          for (const { length, pauseMs } of requests) {
            await clock.advanceTo(clock.now() + pauseMs);
            await timed(clock, limiter.take(length));
            // What is under way now is not paid for; all before it is, but for the bucket and a tick of the timer.
            assert.ok(total <= (RATE * (clock.now() + 101)) / 1000, `${total} bytes in ${clock.now()} ms`);
            total += length;
          }
        },
      ),
    ));

  it('is not slower than its rate as long as somebody asks', async () => {
    const { clock, limiter } = limited();
    for (let count = 0; count < 100; count += 1) await timed(clock, limiter.take(70));
    assert.ok(clock.now() <= 7000, `${clock.now()} ms for 7 s`);
  });

  it('gives back the share of whoever stopped waiting', async () => {
    const { clock, limiter } = limited();
    const stop = new AbortController();
    await limiter.take(1000);
    const waiting = limiter.take(1_000_000, { signal: stop.signal });
    const reason = new Error('enough');
    stop.abort(reason);
    await assert.rejects(waiting, reason);
    await timed(clock, limiter.take(1));
    assert.equal(clock.now(), 900);
    await assert.rejects(limiter.take(1, { signal: stop.signal }), reason);
  });

  it('waits longer than a timer can', async () => {
    const clock = new FakeClock();
    const limiter = new RateLimiter(1, clock);
    await limiter.take(10_000_000);
    await timed(clock, limiter.take(1));
    assert.equal(clock.now(), 10_000_000_000 - 100);
  });

  for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`refuses the rate ${rate}`, () => {
      assert.throws(() => new RateLimiter(rate), { code: 'VB_INVALID_ARGUMENT' });
    });
  }
});

describe('systemClock', () => {
  it('ends its sleep with the reason of the signal', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const sleep = systemClock.sleep(3_600_000, { signal: stop.signal });
    stop.abort(reason);
    await assert.rejects(sleep, reason);
    const before = systemClock.now();
    await systemClock.sleep(1);
    assert.ok(systemClock.now() >= before);
  });
});

function limited(): { clock: FakeClock; limiter: RateLimiter; began: number[] } {
  const clock = new FakeClock();
  return { clock, limiter: new RateLimiter(RATE, clock), began: [] };
}

async function timed(clock: FakeClock, work: Promise<void>): Promise<void> {
  await Promise.all([work, clock.advance()]);
}
