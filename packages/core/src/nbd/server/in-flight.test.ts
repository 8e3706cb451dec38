import assert from 'node:assert/strict';
import { Deferred } from '../../testing/index.js';
import { BufferPool } from './buffer-pool.js';
import { ByteBudget } from './byte-budget.js';
import { InFlight } from './in-flight.js';

describe('InFlight', () => {
  const entry = (entering: Promise<void>) => {
    const state = { entered: false, entering };
    state.entering = entering.then(() => {
      state.entered = true;
    });
    return state;
  };

  it('waits for room in bytes, and lets what is larger than all in alone', async () => {
    const inFlight = new InFlight({ maximumCount: 9, maximumBytes: 100, budget: new ByteBudget(10_000) });
    const first = new Deferred();
    await inFlight.enter(1_000);
    inFlight.add(1_000, first.promise);
    const second = entry(inFlight.enter(1));
    await new Promise(setImmediate);
    assert.equal(second.entered, false);
    first.resolve();
    await second.entering;
  });

  it('waits for room in number', async () => {
    const inFlight = new InFlight({ maximumCount: 2, maximumBytes: 100, budget: new ByteBudget(100) });
    const works = [new Deferred(), new Deferred()];
    for (const work of works) {
      await inFlight.enter(0);
      inFlight.add(0, work.promise);
    }
    const third = entry(inFlight.enter(0));
    await new Promise(setImmediate);
    assert.equal(third.entered, false);
    works[1]?.resolve();
    await third.entering;
    works[0]?.resolve();
    await inFlight.idle();
  });

  it('shares bytes with other connections, first come, first served', async () => {
    const budget = new ByteBudget(100);
    const [one, two, three] = [1, 2, 3].map(() => new InFlight({ maximumCount: 9, maximumBytes: 100, budget }));
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    await one.enter(80);
    const large = entry(two.enter(90));
    const small = entry(three.enter(10));
    await new Promise(setImmediate);
    assert.deepEqual([large.entered, small.entered], [false, false], 'the small one does not overtake');
    one.leave(80);
    await Promise.all([large.entering, small.entering]);
    const late = entry(one.enter(1));
    await new Promise(setImmediate);
    assert.equal(late.entered, false);
    two.leave(90);
    await late.entering;
  });
});

describe('BufferPool', () => {
  it('gives a buffer out again, once', () => {
    const pool = new BufferPool();
    const first = pool.take(100_000);
    assert.equal(first.length, 100_000);
    pool.give(first);
    const again = pool.take(131_072);
    assert.equal(again.buffer, first.buffer);
    assert.equal(again.length, 131_072);
    assert.notEqual(pool.take(131_072).buffer, first.buffer);
  });

  it('keeps neither what is small or huge, nor more than its bound', () => {
    const pool = new BufferPool();
    for (const length of [0, 512, 8 * 1024 * 1024]) {
      const bytes = pool.take(length);
      pool.give(bytes);
      assert.notEqual(pool.take(length).buffer, bytes.buffer);
    }
    const buffers = Array.from({ length: 6 }, () => pool.take(4 * 1024 * 1024));
    for (const buffer of buffers) pool.give(buffer);
    const kept = new Set(Array.from({ length: 6 }, () => pool.take(4 * 1024 * 1024).buffer));
    assert.equal(buffers.filter((buffer) => kept.has(buffer.buffer)).length, 4);
  });
});
