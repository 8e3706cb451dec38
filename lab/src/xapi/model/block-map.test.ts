import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { BLOCK_LENGTH, BlockMap } from './block-map.js';

const SIZE = 5 * BLOCK_LENGTH + 1536;

describe('BlockMap', () => {
  it('holds what a flat buffer would hold, and so does every snapshot of it', async () => {
    const write = fc.record({
      offset: fc.integer({ min: 0, max: SIZE - 1 }),
      length: fc.integer({ min: 0, max: 3 * BLOCK_LENGTH }),
      fill: fc.constantFrom(0, 1, 2),
      freeze: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(write, { maxLength: 12 }), async (writes) => {
        const flat = Buffer.alloc(SIZE);
        const map = new BlockMap(SIZE);
        const frozen: { readonly map: BlockMap; readonly flat: Buffer }[] = [{ map, flat }];
        for (const { offset, length, fill, freeze } of writes) {
          const end = Math.min(SIZE, offset + length);
          flat.fill(fill, offset, end);
          if (fill === 0) map.zero(offset, end - offset);
          else map.write(offset, Buffer.alloc(end - offset, fill));
          if (freeze) frozen.push({ map: map.snapshot(), flat: Buffer.from(flat) });
        }
        for (const pair of frozen) {
          const content = Buffer.alloc(SIZE, 9);
          pair.map.read(0, content);
          assert.ok(content.equals(pair.flat));
          assert.equal(await pair.map.digest(), createHash('sha256').update(pair.flat).digest('hex'));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('refuses what lies outside, and shrinking', () => {
    const map = new BlockMap(SIZE);
    assert.throws(() => map.write(SIZE, Buffer.alloc(1)), RangeError);
    assert.throws(() => map.read(SIZE - 1, Buffer.alloc(2)), RangeError);
    assert.throws(() => map.grow(SIZE - 512), RangeError);
  });
});
