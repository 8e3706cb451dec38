import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import { WorkerHasher } from './worker-hasher.js';

const LENGTH = 4096;

describe('WorkerHasher', () => {
  it('says of every piece what SHA-256 says, in this thread and in the other', async () => {
    await using hasher = new WorkerHasher();
    const pieces = Array.from({ length: 100 }, (_, at) => randomFillSync(hasher.allocate(LENGTH).subarray(at)));
    const digests = await Promise.all(pieces.map((piece) => hasher.hash(piece)));
    const expected = pieces.map((piece) => createHash('sha256').update(piece).digest('hex'));
    assert.deepEqual(
      digests.map((digest) => digest.toString('hex')),
      expected,
    );
  });

  it('leaves no promise open when it is disposed', async () => {
    const hasher = new WorkerHasher();
    const hashing = Array.from({ length: 100 }, () => hasher.hash(hasher.allocate(LENGTH)));
    const settled = Promise.allSettled(hashing);
    await hasher[Symbol.asyncDispose]();
    for (const result of (await settled).filter(({ status }) => status === 'rejected')) {
      assert.equal('reason' in result ? result.reason.code : '', 'VB_INTERNAL');
    }
  });
});
