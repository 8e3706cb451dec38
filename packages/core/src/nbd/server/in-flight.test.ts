import assert from 'node:assert/strict';
import { Deferred } from '../../testing/index.js';
import { BufferPool } from './buffer-pool.js';
import { InFlight } from './in-flight.js';

describe('InFlight', () => {
  it('waits for room in count and in bytes, and lets what is larger than all in alone', async () => {
    const inFlight = new InFlight({ maximumCount: 2, maximumBytes: 100 });
    const first = new Deferred();
    const second = new Deferred();
    await inFlight.room(1_000);
    inFlight.add(60, first.promise);
    let entered = false;
    const waiting = inFlight.room(50).then(() => {
      entered = true;
    });
    await new Promise(setImmediate);
    assert.equal(entered, false, '110 of 100 bytes');
    first.resolve();
    await waiting;
    inFlight.add(10, second.promise);
    inFlight.add(10, new Promise(setImmediate));
    entered = false;
    const third = inFlight.room(1).then(() => {
      entered = true;
    });
    await Promise.resolve();
    assert.equal(entered, false, 'three of two requests');
    await third;
    second.resolve();
    await inFlight.idle();
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
