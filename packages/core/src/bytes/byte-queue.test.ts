import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ByteQueue } from './byte-queue.js';

describe('ByteQueue', () => {
  it('gives back what was pushed, whatever the cuts on both sides', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), fc.array(fc.integer({ min: 1, max: 9 })), (chunks, lengths) => {
        const queue = new ByteQueue();
        for (const chunk of chunks) queue.push(Buffer.from(chunk));
        const whole = Buffer.concat(chunks);
        const taken: Buffer[] = [];
        for (const [at, length] of lengths.entries()) {
          const part = at % 2 === 0 ? queue.take(length) : queue.takeSome(length);
          if (part !== undefined) taken.push(part);
        }
        taken.push(queue.take(queue.length) ?? Buffer.alloc(0));
        assert.deepEqual(Buffer.concat(taken), whole);
        assert.equal(queue.offset, whole.length);
      }),
    );
  });

  it('takes nothing while too little is there', () => {
    const queue = new ByteQueue();
    queue.push(Buffer.from('abc'));
    assert.equal(queue.take(4), undefined);
    assert.equal(queue.length, 3);
    queue.push(Buffer.from('d'));
    assert.equal(queue.take(4)?.toString(), 'abcd');
  });

  it('shows what comes next without taking it', () => {
    const queue = new ByteQueue();
    assert.equal(queue.peekSome(), undefined);
    queue.push(Buffer.from('abc'));
    queue.push(Buffer.from('d'));
    queue.take(1);
    assert.equal(queue.peekSome()?.toString(), 'bc');
    assert.equal(queue.take(3)?.toString(), 'bcd');
    assert.equal(queue.peekSome(), undefined);
  });
});
