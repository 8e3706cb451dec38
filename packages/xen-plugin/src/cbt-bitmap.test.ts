import assert from 'node:assert/strict';
import { coalesce, type Extent } from '@vbackup/core';
import fc from 'fast-check';
import { CBT_BLOCK_LENGTH, changedExtents, decodeBitmap } from './cbt-bitmap.js';

/** One byte position after the other, with no arithmetic shared with the real thing. */
function naive(bits: readonly boolean[], size: number): readonly Extent[] {
  const extents: Extent[] = [];
  bits.forEach((set, block) => {
    const offset = block * CBT_BLOCK_LENGTH;
    if (set && offset < size) extents.push({ offset, length: Math.min(CBT_BLOCK_LENGTH, size - offset) });
  });
  return [...coalesce(extents)];
}

function pack(bits: readonly boolean[]): Buffer {
  const text = bits.map((set) => (set ? '1' : '0')).join('');
  const bytes = text.match(/.{1,8}/g) ?? [];
  return Buffer.from(bytes.map((byte) => Number.parseInt(byte.padEnd(8, '0'), 2)));
}

describe('changedExtents', () => {
  it('agrees with a naive reading of every bitmap, whatever the size of the last block', () => {
    const disks = fc
      .array(fc.boolean(), { minLength: 1, maxLength: 200 })
      .chain((bits) => fc.tuple(fc.constant(bits), fc.integer({ min: 1, max: CBT_BLOCK_LENGTH / 512 })));
    fc.assert(
      fc.property(disks, ([bits, lastSectors]) => {
        const size = (bits.length - 1) * CBT_BLOCK_LENGTH + lastSectors * 512;
        assert.deepEqual(changedExtents(pack(bits), size), naive(bits, size));
      }),
    );
  });

  it('reads what the real cbt-util wrote: most significant bit first', () => {
    const bitmap = decodeBitmap('wEAAAAAAAAACAAAAAAAAAAAAAAE=');
    const blocks = changedExtents(bitmap, 10 * 1024 * 1024).map(({ offset, length }) => [
      offset / CBT_BLOCK_LENGTH,
      length / CBT_BLOCK_LENGTH,
    ]);
    assert.deepEqual(blocks, [
      [0, 2],
      [9, 1],
      [70, 1],
      [159, 1],
    ]);
  });

  it('ignores bits beyond the end of the disk', () => {
    assert.deepEqual(changedExtents(Buffer.from([0xff]), CBT_BLOCK_LENGTH + 512), [
      { offset: 0, length: CBT_BLOCK_LENGTH + 512 },
    ]);
  });

  it('refuses a bitmap that is shorter than the disk', () => {
    assert.throws(() => changedExtents(Buffer.alloc(19), 160 * CBT_BLOCK_LENGTH), { code: 'VB_XEN_BITMAP' });
  });

  it('refuses a bitmap of another granularity', () => {
    assert.throws(() => changedExtents(Buffer.alloc(40), 160 * CBT_BLOCK_LENGTH), { code: 'VB_XEN_BITMAP' });
  });

  it('takes the bitmap of the largest disk', () => {
    const size = 16 * 1024 ** 4;
    const bitmap = Buffer.alloc(size / CBT_BLOCK_LENGTH / 8);
    bitmap[bitmap.length - 1] = 1;
    assert.deepEqual(changedExtents(bitmap, size), [{ offset: size - CBT_BLOCK_LENGTH, length: CBT_BLOCK_LENGTH }]);
  });
});

describe('changedExtents of a bitmap with too many extents', () => {
  it('joins them, and loses none', () => {
    const blocks = 2 ** 23;
    const extents = changedExtents(Buffer.alloc(blocks / 8, 0x11), blocks * CBT_BLOCK_LENGTH);
    assert.ok(extents.length <= 2 ** 20);
    let end = 0;
    let changed = 0;
    for (const { offset, length } of extents) {
      assert.ok(offset >= end);
      end = offset + length;
      // Blocks 3, 7, 11, … are marked.
      changed += Math.floor(end / CBT_BLOCK_LENGTH / 4) - Math.floor(offset / CBT_BLOCK_LENGTH / 4);
    }
    assert.equal(changed, blocks / 4);
  });
});

describe('decodeBitmap', () => {
  it('refuses what is not base64, or cut short', () => {
    for (const text of ['wEA', 'wE*A', 'w===', '<xml>AAA']) {
      assert.throws(() => decodeBitmap(text), { code: 'VB_XEN_BITMAP' }, text);
    }
  });
});
