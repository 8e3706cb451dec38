import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type StampedFile, takeStamp } from './stamp.js';

const PATH = fileURLToPath(import.meta.url);

/** A file of a file system whose fdatasync(2) fails. */
const failingWith = (code: string): StampedFile => ({
  stat: (options) => stat(PATH, options),
  datasync: async () => {
    throw Object.assign(new Error(code), { code });
  },
});

describe('the stamp of an image', () => {
  for (const code of ['EINVAL', 'EROFS']) {
    it(`is taken where nothing can be written back: ${code}`, async () => {
      assert.equal((await takeStamp(failingWith(code))).inode, (await stat(PATH, { bigint: true })).ino);
    });
  }

  it('is not taken where what was written does not arrive', async () => {
    await assert.rejects(takeStamp(failingWith('EIO')), { code: 'EIO' });
  });
});
