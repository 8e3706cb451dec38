import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sealHeader, VMA_FIXTURES } from '@vbackup/core/testing';
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

  const golden = join(VMA_FIXTURES, '02-multi-interleaved.vma');
  for (const [what, line, code, exitCode] of [
    ['leaving out everything', `repack ${golden} x.vma --skip 1,2,3,4`, 'VB_CLI_USAGE', 2],
    ['a device that is not there', `repack ${golden} x.vma -d drive-scsi9`, 'VB_VMA_NOT_FOUND', 10],
    ['two UUIDs', `repack ${golden} x.vma --dedup --uuid 0d8fc66faccb4b1e8b2464002cba376f`, 'VB_CLI_USAGE', 2],
    [
      'devices of one name',
      `create x.vma -d format=vma:${golden} -d format=vma:${golden}`,
      'VB_VMA_DUPLICATE_NAME',
      14,
    ],
    ['one name for several devices', `create x.vma -d format=vma:one=${golden}`, 'VB_CLI_USAGE', 2],
    ['devices from standard input', 'create x.vma -d format=vma:-', 'VB_CLI_USAGE', 2],
    ['a device that another archive lacks', `create x.vma -d format=vma:${golden}:nothing`, 'VB_VMA_NOT_FOUND', 10],
    ['an archive that is not there', 'create x.vma -d format=vma:none.vma:drive-scsi0', 'VB_FILE_NOT_FOUND', 10],
    ['a size of what is no stream', `create x.vma -d format=vma:size=1M:${golden}`, 'VB_CLI_USAGE', 2],
    ['a name with white space', 'create x.vma -d a\u00a0b=disk.raw', 'VB_CLI_USAGE', 2],
    ['an archive that is taken for an image', `create x.vma -d one=${golden}`, 'VB_CLI_USAGE', 2],
    ['an archive without devices', `repack ${join(VMA_FIXTURES, '06-noconfdev.vma')} x.vma`, 'VB_UNSUPPORTED', 1],
    ['a name that --device could not say again', 'create x.vma -d a,b=disk.raw', 'VB_CLI_USAGE', 2],
  ] as const) {
    it(`refuses ${what}`, async () => {
      await program.refused(`vma ${line}`, code, exitCode);
      assert.ok(!(await readdir(program.folder)).some((name) => name.startsWith('x.vma')));
    });
  }

  it('takes one of two devices of a name by its number, and not both', async () => {
    const bytes = await readFile(join(VMA_FIXTURES, '11-vmatool-packed.vma'));
    bytes.write('0', bytes.indexOf('drive-scsi1\0') + 'drive-scsi'.length);
    await writeFile(join(program.folder, 'twice.vma'), sealHeader(bytes));
    await program.refused('vma repack twice.vma x.vma', 'VB_VMA_DUPLICATE_NAME', 14);
    assert.equal(await program.run('vma repack twice.vma second.vma -d 2'), 0, program.world.stderr.text);
    assert.equal(await program.run('vma verify second.vma'), 0, program.world.stderr.text);
  });
});
