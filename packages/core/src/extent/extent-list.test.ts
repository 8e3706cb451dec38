import assert from 'node:assert/strict';
import { type Extent, ExtentList } from './index.js';

describe('ExtentList', () => {
  const listOf = (extents: readonly Extent[], limit?: number): ExtentList => {
    const list = limit === undefined ? new ExtentList() : new ExtentList({ limit });
    for (const extent of extents) list.add(extent);
    return list;
  };

  it('joins what touches or overlaps', () => {
    const list = listOf([
      { offset: 0, length: 10 },
      { offset: 10, length: 5 },
      { offset: 12, length: 1 },
      { offset: 14, length: 6 },
      { offset: 21, length: 1 },
    ]);
    assert.deepEqual(list.extents, [
      { offset: 0, length: 20 },
      { offset: 21, length: 1 },
    ]);
  });

  it('never holds more than its limit, and loses nothing', () => {
    // Every other distance is a hundred times as long.
    const extents = Array.from({ length: 1000 }, (_, at) => ({ offset: at * 2 ** 20 + (at % 2) * 1000, length: 500 }));
    const { extents: kept } = listOf(extents, 10);
    assert.ok(kept.length <= 10);
    for (const { offset, length } of extents) {
      assert.ok(kept.some((one) => one.offset <= offset && one.offset + one.length >= offset + length));
    }
  });
});
