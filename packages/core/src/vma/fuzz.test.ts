import assert from 'node:assert/strict';
import { fuzzArchives } from '../testing/vma-fuzz.js';

/** `pnpm fuzz-vma 200000` runs more of them, with any seed. */
const CASES = 5000;
const MAX_MEMORY = 64 * 1024 * 1024;

describe('5,000 mutated VMA archives', () => {
  it('give a right answer or an error of VMA, the same by every way of reading', async function () {
    this.timeout(300_000);
    const { outcomes, mostMemory } = await fuzzArchives({ cases: CASES, seed: 1 });
    assert.ok(mostMemory < MAX_MEMORY, `${mostMemory} bytes`);
    // Every fault that reading can find is found somewhere, or the mutations have become blind.
    for (const code of [
      'none',
      'VB_VMA_HEADER_MD5',
      'VB_VMA_EXTENT_MD5',
      'VB_VMA_MISSING_CLUSTER',
      'VB_VMA_BLOCK_COUNT',
    ]) {
      assert.ok((outcomes.get(code) ?? 0) > 0, code);
    }
    assert.ok(outcomes.size >= 18, [...outcomes.keys()].join());
  });
});
