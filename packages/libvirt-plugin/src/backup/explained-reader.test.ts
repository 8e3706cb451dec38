import assert from 'node:assert/strict';
import type { BlockReader, ReadPiece, WithSignal } from '@vbackup/core';
import { type Explain, ExplainedReader } from './explained-reader.js';

const LOST = new Error('the connection is gone');
const REASON = new Error('the domain stopped');

describe('ExplainedReader', () => {
  const asked: { readonly error: unknown; readonly options: WithSignal | undefined }[] = [];
  beforeEach(() => void asked.splice(0));
  const explain: Explain = async (error, options) => {
    asked.push({ error, options });
    return REASON;
  };
  const plain: BlockReader = {
    size: 8192,
    limits: { alignment: 512, maximumRequest: 4096, maximumInFlight: 4 },
    read: () => Promise.reject(LOST),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const pieces: readonly ReadPiece[] = [0, 4096].map((offset) => ({ offset, target: Buffer.alloc(512) }));

  it('can no more than its source', () => {
    const reader: BlockReader = new ExplainedReader(plain, explain);
    assert.deepEqual([reader.size, reader.limits], [plain.size, plain.limits]);
    assert.ok(reader.readAll === undefined && reader.allocation === undefined);
  });

  it('hands pieces that are read at once to its source together, with the signal', async () => {
    const calls: unknown[][] = [];
    const readAll: BlockReader['readAll'] = async (...call) => void calls.push(call);
    const options = { signal: new AbortController().signal };
    await new ExplainedReader({ ...plain, readAll }, explain).readAll?.(pieces, options);
    assert.deepEqual(calls, [[pieces, options]]);
    assert.deepEqual(asked, []);
  });

  it('says what a read, a read of several pieces and a question for the allocation really failed with', async () => {
    const source: BlockReader = {
      ...plain,
      readAll: () => Promise.reject(LOST),
      allocation: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(LOST) }) }),
    };
    const reader: BlockReader = new ExplainedReader(source, explain);
    const options = { signal: new AbortController().signal };
    const tell = async (): Promise<void> => {
      for await (const _ of reader.allocation?.({ offset: 0, length: 512 }, options) ?? []) assert.fail();
    };
    await assert.rejects(reader.read(0, Buffer.alloc(512), options), REASON);
    await assert.rejects(async () => reader.readAll?.(pieces, options), REASON);
    await assert.rejects(tell, REASON);
    assert.deepEqual(asked, Array(3).fill({ error: LOST, options }));
  });
});
