import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadVmaFixture, VMA_FIXTURES, vmaFixtures } from '@vbackup/core/testing';
import { parseJsonLines } from '../../testing/json-promise.js';
import { testProgram } from '../../testing/program.js';

const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');
const at = (file: string): string => join(VMA_FIXTURES, file);

describe('vma config', () => {
  const program = testProgram();

  it('prints qemu-server.conf as it is, and another one by its name', async () => {
    const configs = vmaFixtures.valid.find(({ file }) => file === '02-multi-interleaved.vma')?.configs ?? [];
    for (const [option, config] of [
      ['', configs[0]],
      ['-c qemu-server.fw', configs[1]],
    ] as const) {
      program.world.stdout.text = '';
      assert.equal(await program.run(`vma config ${at('02-multi-interleaved.vma')} ${option}`), 0);
      assert.equal(sha256(program.world.stdout.text), config?.sha256);
    }
  });

  it('reads a compressed archive from standard input', async () => {
    program.world.input = [loadVmaFixture('01-basic.vma.zst')];
    assert.equal(await program.run('vma config - --json'), 0);
    const [, item] = parseJsonLines(program.world.stdout.lines);
    assert.ok(item?.type === 'summary' && 'content' in item);
    assert.deepEqual([item.name, item.size, item.file], ['qemu-server.conf', 228, null]);
    assert.equal(sha256(item.content ?? ''), vmaFixtures.valid[0]?.configs[0]?.sha256);
  });

  it('says which there are when the wanted one is not there', async () => {
    await program.refused(`vma config ${at('01-basic.vma')} --name x.conf`, 'VB_VMA_NOT_FOUND', 10);
    assert.match(program.world.stderr.text, /it has qemu-server\.conf/);
  });

  it('writes all of them into a folder, and replaces none unless it is forced to', async () => {
    const fixture = vmaFixtures.valid.find(({ file }) => file === '07-manyconfigs.vma');
    const folder = join(program.folder, 'a/b');
    assert.equal(await program.run(`vma config ${at('07-manyconfigs.vma')} --all -o ${folder}`), 0);
    const names = fixture?.configs.map(({ name }) => name) ?? [];
    assert.deepEqual((await readdir(folder)).sort(), [...names].sort());
    for (const { name, sha256: digest } of fixture?.configs ?? []) {
      assert.equal(sha256(await readFile(join(folder, name))), digest, name);
    }
    await writeFile(join(folder, names[0] ?? ''), 'mine');
    assert.equal(await program.run(`vma config ${at('07-manyconfigs.vma')} --all -o ${folder}`), 1);
    assert.match(program.world.stderr.text, /VB_TARGET_EXISTS/);
    assert.equal(await readFile(join(folder, names[0] ?? ''), 'utf8'), 'mine');
    assert.equal(await program.run(`vma config ${at('07-manyconfigs.vma')} --all -o ${folder} --force`), 0);
  });

  for (const [what, options] of [
    ['a folder without --all', '-o x'],
    ['--all without a folder', '--all'],
    ['--all with a name', '--all -o x -c y'],
  ]) {
    it(`refuses ${what}`, () => program.refused(`vma config ${at('01-basic.vma')} ${options}`, 'VB_CLI_USAGE'));
  }
});
