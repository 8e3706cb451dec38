import assert from 'node:assert/strict';
import { FlatIterator } from './flat-iterator.js';

describe('FlatIterator', () => {
  const closed: string[] = [];

  async function* batches(fail = false): AsyncGenerator<readonly number[], void, undefined> {
    try {
      yield [1, 2];
      yield [];
      yield [3];
      if (fail) throw new Error('broken');
    } finally {
      closed.push('closed');
    }
  }

  beforeEach(() => closed.splice(0));

  it('gives every item once, in order', async () => {
    const seen: number[] = [];
    for await (const item of new FlatIterator(batches())) seen.push(item);
    assert.deepEqual(seen, [1, 2, 3]);
    assert.deepEqual(closed, ['closed']);
  });

  it('serves those who do not wait for each other', async () => {
    const items = new FlatIterator(batches());
    const results = await Promise.all(Array.from({ length: 6 }, () => items.next()));
    const values = results.flatMap(({ done, value }) => (done === true ? [] : [value]));
    assert.deepEqual(
      values.toSorted((left, right) => left - right),
      [1, 2, 3],
    );
    assert.equal(results.filter(({ done }) => done).length, 3);
  });

  it('closes what it reads when its reader leaves', async () => {
    for await (const item of new FlatIterator(batches())) if (item === 1) break;
    assert.deepEqual(closed, ['closed']);
  });

  it('hands an error on, and is at its end then', async () => {
    const items = new FlatIterator(batches(true));
    for (let count = 0; count < 3; count++) await items.next();
    await assert.rejects(items.next(), /broken/);
    assert.deepEqual(await items.next(), { done: true, value: undefined });
  });
});
