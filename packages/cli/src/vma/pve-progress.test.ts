import assert from 'node:assert/strict';
import { PveProgress } from './pve-progress.js';

const CLUSTER = 65_536;

describe('PveProgress', () => {
  it('counts as the logs of Proxmox do: a device of 512 GiB and one of eight clusters and a quarter', () => {
    let now = 0;
    const progress = new PveProgress([{ size: 540_672 }, { size: 549_755_813_888 }], () => now);
    const lines: string[] = [];
    for (let count = 0; count < 8_388_617; count += 1) {
      now += 0.01;
      const line = progress.cluster(0);
      if (line !== undefined) lines.push(line);
    }
    assert.equal(lines.length, 100);
    assert.match(lines[0] ?? '', /^progress 1% \(read 5497618432 bytes, duration 0 sec\)$/);
    assert.match(lines[1] ?? '', /^progress 2% \(read 10995171328 bytes, duration 1 sec\)$/);
    assert.match(lines[98] ?? '', /^progress 99% \(read 544258785280 bytes, duration 83 sec\)$/);
    assert.match(lines[99] ?? '', /^progress 100% \(read 549756338176 bytes, duration 83 sec\)$/);
    assert.deepEqual(progress.finish(), ['total bytes read 549756403712, sparse bytes 549756403712 (100%)']);
  });

  it('tells the blocks of zeros, and how many of them stand among others', () => {
    const progress = new PveProgress([{ size: 4 * CLUSTER }], () => 0);
    for (const stored of [16, 1, 0, 15]) progress.cluster(stored);
    assert.deepEqual(progress.finish(), [
      'total bytes read 262144, sparse bytes 131072 (50%)',
      'space reduction due to 4K zero blocks 50%',
    ]);
  });

  const percents: readonly (readonly [number, number, string])[] = [
    [1, 3, '33.3'],
    [2, 300_000, '0.000667'],
    [1, 2_000_000, '5e-05'],
    [1, 3_000_000, '3.33e-05'],
    [0, 5, '0'],
  ];
  for (const [zeros, count, text] of percents) {
    it(`writes a share of ${zeros} in ${count} as ${text} %`, () => {
      const progress = new PveProgress([{ size: count * CLUSTER }], () => 0);
      for (let done = 0; done < count; done += 1) progress.cluster(done < zeros ? 0 : 16);
      assert.match(progress.finish()[0] ?? '', new RegExp(` \\(${text.replace('.', '\\.')}%\\)$`));
    });
  }

  it('never says more than 100 %, of a device of less than a cluster as well', () => {
    const progress = new PveProgress([{ size: 512 }], () => 0);
    assert.equal(progress.cluster(1), 'progress 100% (read 65536 bytes, duration 0 sec)');
    assert.equal(progress.cluster(1), undefined);
  });

  it('says that there is nothing', () => {
    assert.deepEqual(new PveProgress([], () => 0).finish(), ['vma archive contains no image data']);
  });
});
