import assert from 'node:assert/strict';
import type { BlockWriter } from '../../hypervisor/index.js';
import { TargetWriter } from './target-writer.js';

const PIECE = 4096;

/** Refuses what is written to its second piece. */
const broken: BlockWriter = {
  size: 4 * PIECE,
  limits: { alignment: 512, maximumRequest: PIECE, maximumInFlight: 1 },
  zeroed: false,
  write: async (offset) => {
    if (offset === PIECE) throw new Error('the device is broken');
  },
  zero: async () => undefined,
  finish: async () => undefined,
  [Symbol.asyncDispose]: async () => undefined,
};

describe('TargetWriter', () => {
  it('does not finish when a write failed, though nobody waits for it any more', async () => {
    await using writer = new TargetWriter({ target: broken });
    await writer.data(0, Buffer.alloc(PIECE));
    await assert.rejects(writer.data(PIECE, Buffer.alloc(PIECE)), /is broken/);
    await assert.rejects(writer.finish(), /is broken/);
  });
});
