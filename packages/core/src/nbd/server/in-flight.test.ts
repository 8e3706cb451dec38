import assert from 'node:assert/strict';
import { Deferred } from '../../testing/index.js';
import { BufferPool } from './buffer-pool.js';
import { ByteBudget } from './byte-budget.js';
import { InFlight, OWN_BYTES, type Place } from './in-flight.js';

const MIB = 1024 * 1024;

describe('InFlight', () => {
  const entry = (entering: Promise<Place | undefined>) => {
    const state = { entered: false, entering };
    state.entering = entering.then((place) => {
      state.entered = true;
      return place;
    });
    return state;
  };

  const enter = async (inFlight: InFlight, bytes: number): Promise<Place> => {
    const place = await inFlight.enter(bytes);
    assert.ok(place !== undefined);
    return place;
  };

  it('waits for room in bytes, and lets what is larger than all in alone', async () => {
    const inFlight = new InFlight({ maximumCount: 9, maximumBytes: 100, budget: new ByteBudget(10_000) });
    const first = new Deferred();
    inFlight.add(await enter(inFlight, 1_000), first.promise);
    const second = entry(inFlight.enter(1));
    await new Promise(setImmediate);
    assert.equal(second.entered, false);
    first.resolve();
    await second.entering;
  });

  it('waits for room in number', async () => {
    const inFlight = new InFlight({ maximumCount: 2, maximumBytes: 100, budget: new ByteBudget(100) });
    const works = [new Deferred(), new Deferred()];
    for (const work of works) inFlight.add(await enter(inFlight, 0), work.promise);
    const third = entry(inFlight.enter(0));
    await new Promise(setImmediate);
    assert.equal(third.entered, false);
    works[1]?.resolve();
    await third.entering;
    works[0]?.resolve();
    await inFlight.idle();
  });

  const connections = (): readonly InFlight[] => {
    const budget = new ByteBudget(100 * MIB);
    return [1, 2, 3].map(() => new InFlight({ maximumCount: 9, maximumBytes: 100 * MIB, budget }));
  };

  it('shares bytes with other connections, first come, first served', async () => {
    const [one, two, three] = connections();
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    const held = await enter(one, 80 * MIB);
    const large = entry(two.enter(90 * MIB));
    const small = entry(three.enter(10 * MIB));
    await new Promise(setImmediate);
    assert.deepEqual([large.entered, small.entered], [false, false], 'the small one does not overtake');
    one.leave(held);
    const [place] = await Promise.all([large.entering, small.entering]);
    const late = entry(one.enter(MIB));
    await new Promise(setImmediate);
    assert.equal(late.entered, false);
    assert.ok(place !== undefined);
    two.leave(place);
    await late.entering;
  });

  it('lets one small request of every connection in, whatever the others hold', async () => {
    const [hog, modest] = connections();
    assert.ok(hog !== undefined && modest !== undefined);
    await enter(hog, 100 * MIB);
    const own = await enter(modest, OWN_BYTES);
    const second = entry(modest.enter(1));
    await new Promise(setImmediate);
    assert.equal(second.entered, false, 'one at a time');
    assert.equal(own.own, true);
  });

  it('takes nothing for a client that left while it waited, and lets those behind it in', async () => {
    const [hog, gone, modest] = connections();
    assert.ok(hog !== undefined && gone !== undefined && modest !== undefined);
    const held = await enter(hog, 90 * MIB);
    const left = new AbortController();
    const waiting = gone.enter(20 * MIB, left.signal);
    const behind = entry(modest.enter(10 * MIB));
    await new Promise(setImmediate);
    assert.equal(behind.entered, false);
    left.abort();
    assert.equal(await waiting, undefined);
    await behind.entering;
    assert.equal(await gone.enter(MIB, left.signal), undefined);
    hog.leave(held);
    assert.ok((await gone.enter(90 * MIB)) !== undefined, 'all but what the third holds is free');
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
