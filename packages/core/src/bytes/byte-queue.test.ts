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

  it('takes back what was taken, in front of what is waiting', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), fc.array(fc.nat(9)), (chunks, lengths) => {
        const queue = new ByteQueue();
        for (const chunk of chunks) queue.push(Buffer.from(chunk));
        const whole = Buffer.concat(chunks);
        for (const length of lengths) {
          const part = queue.take(length);
          if (part === undefined) continue;
          const kept = Math.floor(length / 2);
          queue.unshift(part.subarray(kept));
          assert.equal(queue.offset + queue.length, whole.length);
        }
        const { offset } = queue;
        assert.deepEqual(queue.take(queue.length), whole.subarray(offset));
      }),
    );
  });

  it('gathers into memory that it is given, but only what does not lie together', () => {
    const queue = new ByteQueue();
    const scratch = Buffer.alloc(4);
    for (const text of ['abc', 'def', 'ghijkl']) queue.push(Buffer.from(text));
    assert.equal(queue.take(2, scratch)?.toString(), 'ab');
    assert.deepEqual(scratch, Buffer.alloc(4));
    assert.equal(queue.take(3, scratch)?.toString(), 'cde');
    assert.equal(scratch.toString('latin1', 0, 3), 'cde');
    assert.equal(queue.take(5, scratch)?.toString(), 'fghij', 'longer than the memory that was given');
  });

  it('is not slowed down by what waits, however small its pieces are', () => {
    const queue = new ByteQueue();
    const piece = Buffer.from('x');
    // With every byte moved for every byte taken this takes a minute.
    for (let round = 0; round < 4; round += 1) {
      for (let count = 0; count < 250_000; count += 1) queue.push(piece);
      assert.equal(queue.take(200_000)?.length, 200_000);
    }
    assert.equal(queue.take(200_000)?.length, 200_000);
    assert.equal(queue.length, 0);
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
