import assert from 'node:assert/strict';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { compareFiles, wholeRange } from './compare-files.js';

describe('compareFiles', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-compare-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('leaves no read in flight when one of two fails: the memory goes to whoever asks next', async () => {
    let filling = 0;
    const source = {
      path: 'source',
      read: async (): Promise<void> => {
        filling += 1;
        await setTimeout(50);
        filling -= 1;
      },
    };
    await using file = await open(join(folder, 'target'), 'w+');
    const range = { offset: 0, length: 4096 };
    const parts = { source, target: { path: 'target', file }, range, shift: 0, onDone: () => undefined };
    await assert.rejects(compareFiles({ ...parts, extents: wholeRange(range), signal: undefined }), {
      code: 'VB_FILE_SHORT',
      message: 'target ends at byte 0',
    });
    assert.equal(filling, 0);
  });
});
