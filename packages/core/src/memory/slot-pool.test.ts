import assert from 'node:assert/strict';
import { SlotPool } from './slot-pool.js';

const SHAPE = { count: 2, length: 3 * 1024 * 1024 };

describe('SlotPool', () => {
  it('gives its memory to the next pool when every slot is back, once', async () => {
    // A length that no other test of this process leaves behind.
    const shape = { count: 11, length: 1024 * 1024 };
    const first = new SlotPool(shape);
    const slot = await first.acquire();
    const memory = slot.buffer.buffer;
    slot.release();
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    const memories = await Promise.all(
      [new SlotPool(shape), new SlotPool(shape)].map(async (pool) => (await pool.acquire()).buffer.buffer),
    );
    assert.equal(memories.filter((other) => other === memory).length, 1);
  });

  it('grows, and lets those go who waited for it', async () => {
    using pool = new SlotPool({ count: 1, length: 4096 });
    const first = await pool.acquire();
    const waiting = [pool.acquire(), pool.acquire()];
    pool.grow(3);
    const slots = [first, ...(await Promise.all(waiting))];
    assert.equal(new Set(slots.map(({ buffer }) => buffer)).size, 3);
    pool.grow(2);
    for (const slot of slots) slot.release();
  });

  it('keeps its memory while anyone holds a slot, and after a slot was asked for again', async () => {
    const first = new SlotPool(SHAPE);
    const slot = await first.acquire();
    first[Symbol.dispose]();
    slot.release();
    const second = await new SlotPool(SHAPE).acquire();
    assert.notEqual(second.buffer.buffer, slot.buffer.buffer);
    const third = new SlotPool(SHAPE);
    third[Symbol.dispose]();
    assert.throws(() => third.acquire(), /disposed/);
  });

  it('hands slots out in the order of asking', async () => {
    const pool = new SlotPool({ count: 1, length: 10 });
    const slot = await pool.acquire();
    const stop = new AbortController();
    const given: string[] = [];
    const second = pool.acquire({ signal: stop.signal });
    const third = pool.acquire().then((next) => {
      given.push('third');
      return next;
    });
    stop.abort(new Error('stopped'));
    await assert.rejects(second, /stopped/);
    slot.release();
    slot.release();
    (await third).release();
    assert.deepEqual(given, ['third']);
    assert.equal((await pool.acquire()).buffer.length, 10);
  });
});
