import assert from 'node:assert/strict';
import { requireTools } from '../testing/tools.js';
import { fuzzArchives } from '../testing/vma-fuzz.js';
import { fuzzCompressed } from '../testing/vma-fuzz-compressed.js';
import { fuzzSidecars } from '../testing/vma-fuzz-sidecar.js';

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

describe('400 mutated compressed archives', () => {
  it('give what the archive holds, or an error of VMA', async function () {
    requireTools(this, ['lzop', 'bzip2']);
    this.timeout(120_000);
    const { outcomes, mostMemory } = await fuzzCompressed({ cases: 400, seed: 1 });
    assert.ok(mostMemory < MAX_MEMORY, `${mostMemory} bytes`);
    for (const code of ['none', 'VB_VMA_COMPRESSION', 'VB_VMA_BAD_MAGIC'])
      assert.ok((outcomes.get(code) ?? 0) > 0, code);
  });
});

describe('1,000 mutated sidecars', () => {
  it('are refused, or say of an archive what its content is to them', async function () {
    this.timeout(120_000);
    const { outcomes, mostMemory } = await fuzzSidecars({ cases: 1000, seed: 1 });
    assert.ok(mostMemory < MAX_MEMORY, `${mostMemory} bytes`);
    for (const code of ['none', 'VB_VMA_SIDECAR', 'VB_VMA_DIGEST']) assert.ok((outcomes.get(code) ?? 0) > 0, code);
  });
});
