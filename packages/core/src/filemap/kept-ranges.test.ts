import assert from 'node:assert/strict';
import type { Extent } from '../extent/index.js';
import { KeptRanges } from './kept-ranges.js';

const GiB = 1024 ** 3;

describe('KeptRanges', () => {
  const asked: Extent[] = [];
  let refuse = false;

  /** Every second 4 KiB of the first MiB of every window are data, and its last byte. */
  async function* read(window: Extent): AsyncGenerator<Extent, void, undefined> {
    asked.push(window);
    await Promise.resolve();
    if (refuse) throw new Error('broken');
    for (let at = 4096; at < 1024 * 1024; at += 8192) yield { offset: window.offset + at, length: 4096 };
    yield { offset: window.offset + GiB - 1, length: 1 };
  }

  beforeEach(() => {
    asked.splice(0);
    refuse = false;
  });

  it('answers as its ranges do, at every edge, and reads a window once', async () => {
    const ranges = new KeptRanges(read);
    const rows: readonly [number, boolean][] = [
      [0, false],
      [4095, false],
      [4096, true],
      [8191, true],
      [8192, false],
      [1024 * 1024, false],
      [GiB - 2, false],
      [GiB - 1, true],
    ];
    for (const [offset, mapped] of rows) assert.equal(await ranges.has(offset), mapped, `${offset}`);
    assert.deepEqual(asked, [{ offset: 0, length: GiB }]);
    assert.equal(await ranges.has(5 * GiB + 4096), true);
    assert.deepEqual(asked.slice(1), [{ offset: 5 * GiB, length: GiB }]);
  });

  it('reads a window once for many who ask at the same time', async () => {
    const ranges = new KeptRanges(read);
    await Promise.all(Array.from({ length: 100 }, (_, index) => ranges.has(index * 4096)));
    assert.equal(asked.length, 1);
  });

  it('asks again for what could not be read', async () => {
    const ranges = new KeptRanges(read);
    refuse = true;
    await assert.rejects(ranges.has(0), /broken/);
    refuse = false;
    assert.equal(await ranges.has(4096), true);
  });

  it('forgets the oldest window when it holds too much', async () => {
    const ranges = new KeptRanges(read, 300);
    for (const window of [0, 1, 2, 2, 1]) assert.equal(await ranges.has(window * GiB + 4096), true);
    assert.equal(asked.length, 3);
    assert.equal(await ranges.has(4096), true);
    assert.equal(asked.length, 4);
    assert.equal(await ranges.has(2 * GiB), false);
    assert.equal(asked.length, 4);
  });

  it('forgets windows without data as well: a sparse file may have millions of them', async () => {
    let reads = 0;
    const empty = new KeptRanges(async function* () {
      reads += 1;
      await Promise.resolve();
      yield* [];
    }, 10);
    for (let window = 0; window < 20; window++) await empty.has(window * GiB);
    await empty.has(19 * GiB);
    assert.equal(reads, 20);
    await empty.has(0);
    assert.equal(reads, 21);
  });
});
