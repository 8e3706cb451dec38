import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VMA_FIXTURES } from '@vbackup/core/testing';
import { testProgram } from '../../testing/program.js';

describe('vma repack', () => {
  const program = testProgram();

  it('says what to remove where a run was killed, and writes the archive when it is removed', async () => {
    const line = `vma repack ${join(VMA_FIXTURES, '01-basic.vma')} b.vma`;
    const leftover = join(program.folder, 'b.vma.partial');
    for (const options of ['', ' --force']) {
      await writeFile(leftover, 'unfinished');
      await program.refused(line + options, 'VB_TARGET_EXISTS', 1);
      assert.ok(program.world.stderr.text.includes(`remove ${leftover} if none does`), program.world.stderr.text);
      assert.equal(await readFile(leftover, 'utf8'), 'unfinished');
      await rm(leftover);
      program.world.stderr.text = '';
      assert.equal(await program.run(line + options), 0, program.world.stderr.text);
      program.world.stdout.text = '';
    }
    assert.deepEqual((await readdir(program.folder)).filter((name) => name.startsWith('b.vma')).sort(), [
      'b.vma',
      'b.vma.sha256s',
    ]);
  });
});
