import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathSource } from './path-source.js';
import { servedCache } from './served-cache.js';

describe('pathSource', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-paths-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('takes an empty file for an empty disk, unless it is called an archive', async () => {
    using cache = servedCache(1);
    const options = { cache, onWarning: (): never => assert.fail('there is nothing to warn of') };
    for (const name of ['empty.raw', 'empty.vma']) await writeFile(join(folder, name), '');
    await using source = await pathSource(join(folder, 'empty.raw'), options);
    await using disk = await source.disks[0]?.open('empty.raw');
    assert.equal(disk?.size, 0);
    await assert.rejects(pathSource(join(folder, 'empty.vma'), options), { code: 'VB_VMA_TRUNCATED_HEADER' });
  });
});
