import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTools } from '../testing/index.js';
import { IMAGE_HEAD_LENGTH, imageFormatOf } from './image-magic.js';

describe('imageFormatOf', () => {
  let folder = '';
  before(async function () {
    requireTools(this, ['qemu-img']);
    folder = await mkdtemp(join(tmpdir(), 'vbackup-magic-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const format of ['qcow2', 'vmdk', 'vpc', 'vhdx', 'vdi', 'qed'] as const) {
    it(`knows ${format} as qemu-img makes it`, async () => {
      const path = join(folder, `disk.${format}`);
      execFileSync('qemu-img', ['create', '-q', '-f', format, path, '4M']);
      assert.equal(imageFormatOf((await readFile(path)).subarray(0, IMAGE_HEAD_LENGTH)), format);
    });
  }

  it('takes anything else for a raw disk', () => {
    assert.equal(imageFormatOf(Buffer.alloc(IMAGE_HEAD_LENGTH)), undefined);
    assert.equal(imageFormatOf(Buffer.from('QF')), undefined);
    assert.equal(imageFormatOf(Buffer.alloc(0)), undefined);
  });
});
