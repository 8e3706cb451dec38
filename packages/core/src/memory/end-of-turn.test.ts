import assert from 'node:assert/strict';
import { atEndOfTurn } from './end-of-turn.js';

describe('atEndOfTurn', () => {
  it('runs behind a chain of promises that began later, and before the next turn of the event loop', async () => {
    const order: string[] = [];
    const turn = new Promise<void>((resolve) => {
      setImmediate(() => {
        order.push('next turn');
        resolve();
      });
    });
    atEndOfTurn(() => void order.push('end of turn'));
    const chain = async (): Promise<void> => {
      for (let link = 0; link < 10; link += 1) await Promise.resolve();
      order.push('chain');
    };
    await Promise.all([chain(), turn]);
    assert.deepEqual(order, ['chain', 'end of turn', 'next turn']);
  });
});
