import assert from 'node:assert/strict';
import { ReadWindow } from './read-window.js';

const MIB = 1024 * 1024;

/** A server that sends `rate` MiB in a millisecond and answers no sooner than `delayMs`; as many are always waiting as may. */
function settle(server: { readonly rate: number; readonly delayMs: number }): number {
  const window = new ReadWindow();
  for (let answer = 0; answer < 1000; answer += 1) {
    // The first one finds nothing in its way.
    const inFlight = answer === 0 ? 1 : window.bytes / MIB;
    const tookMs = Math.max(server.delayMs + 1 / server.rate, inFlight / server.rate);
    window.answered({ length: MIB, tookMs });
  }
  return window.bytes / MIB;
}

describe('ReadWindow', () => {
  it('stays at 4 MiB for a server that is near, however fast', () => {
    assert.equal(settle({ rate: 3, delayMs: 0.1 }), 4);
    assert.equal(settle({ rate: 0.5, delayMs: 0.5 }), 4);
  });

  it('grows to 24 MiB for a fast server that is far away', () => {
    assert.equal(settle({ rate: 3, delayMs: 20 }), 24);
  });

  it('grows no further than bandwidth times round trip, but for what waits in line', () => {
    // 0.25 MiB/ms over 20 ms are 5 MiB, and the one that is sent; half as much again is allowed to wait.
    const settled = settle({ rate: 0.25, delayMs: 20 });
    assert.ok(settled >= 6 && settled <= 10, `${settled} MiB`);
  });

  it('doubles in one round trip, and shrinks when answers have to wait', () => {
    const window = new ReadWindow();
    for (let answer = 0; answer < 4; answer += 1) window.answered({ length: MIB, tookMs: 20 });
    assert.equal(window.bytes, 8 * MIB);
    for (let answer = 0; answer < 9; answer += 1) window.answered({ length: MIB, tookMs: 61 });
    assert.equal(window.bytes, 4 * MIB);
  });
});
