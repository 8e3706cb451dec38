import assert from 'node:assert/strict';
import { ReadAhead } from './read-ahead.js';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('ReadAhead', () => {
  it('asks for what comes next once a reader has proved to be sequential', () => {
    const ahead = new ReadAhead();
    const found = [0, 1, 2, 3, 4].map((index) => ahead.next({ offset: index * 64 * KiB, length: 64 * KiB }));
    assert.deepEqual(found, [
      undefined,
      undefined,
      undefined,
      { offset: 256 * KiB, length: 4 * MiB },
      { offset: 320 * KiB, length: 4 * MiB },
    ]);
  });

  it('does not take one large read for a sequential reader', () => {
    assert.equal(new ReadAhead().next({ offset: 0, length: 32 * MiB }), undefined);
  });

  it('does not take one who asks twice for the same bytes for one who goes on', () => {
    const ahead = new ReadAhead();
    const range = { offset: 32 * MiB, length: MiB };
    assert.deepEqual([ahead.next(range), ahead.next(range), ahead.next(range)], [undefined, undefined, undefined]);
  });

  it('says nothing to who jumps about', () => {
    const ahead = new ReadAhead();
    for (let index = 0; index < 100; index += 1) {
      assert.equal(ahead.next({ offset: ((index * 37) % 101) * 64 * MiB, length: 256 * KiB }), undefined);
    }
  });

  it('tells several readers apart, and lets the requests of one overtake one another', () => {
    const ahead = new ReadAhead();
    const order = [0, 1, 2, 4, 3, 6, 5, 8, 7];
    const read = (base: number, index: number) =>
      ahead.next({ offset: base + index * 256 * KiB, length: 256 * KiB })?.offset;
    const both = order.map((index) => [read(0, index), read(1024 * MiB, index)]);
    assert.deepEqual(
      both.slice(1).map(([first = 0, second = 0]) => second - first),
      Array.from({ length: 8 }, () => 1024 * MiB),
    );
    assert.equal(both.at(-1)?.[0], 9 * 256 * KiB);
  });
});
