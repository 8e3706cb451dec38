import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../bin/vbackup.mjs', import.meta.url));

describe('bin/vbackup.mjs', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-bin-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const shell = (script: string, name = 'sh'): Promise<{ code: number; out: string; err: string }> =>
    new Promise((done) => {
      execFile(name, ['-c', script, process.execPath, BIN], (error, out, err) => {
        done({ code: typeof error?.code === 'number' ? error.code : 0, out, err });
      });
    });

  const run = (args: readonly string[]): Promise<{ code: number; out: string; err: string }> =>
    new Promise((done) => {
      const env = { PATH: process.env['PATH'], HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder };
      execFile(process.execPath, [BIN, '-r', folder, ...args], { env }, (error, out, err) => {
        done({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
      });
    });

  it('shows its version and help', async () => {
    assert.match((await run(['--version'])).out, /^vbackup \d+\.\d+\.\d+\n$/);
    assert.equal((await run(['--help'])).code, 0);
  });

  it('ends with 2 and a suggestion for a misspelt command', async () => {
    const { code, out, err } = await run(['lsit']);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /^vbackup: unknown command lsit \[VB_CLI_UNKNOWN_COMMAND\]\n {2}did you mean list\?/);
  });

  for (const [line, expected] of [
    ['vbackup re', 'restore'],
    ['vbackup --hypervisor x', 'xen'],
    ['vbackup backup --level i', 'inc'],
    ['vbackup backup --xen-fi', '--xen-fingerprint'],
    ['vbackup -r /x completion f', 'fish'],
    ['vbackup restore --fo', '--force'],
    ['vbackup vm', 'vma'],
    ['vbackup vma li', 'list'],
    ['vbackup vma list --comp', '--compat'],
  ] as const) {
    it(`completes "${line}" in bash`, async () => {
      const words = line.split(' ');
      const script = `source <("$0" "$1" completion bash); COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}`;
      const { out, err } = await shell(`${script}; _vbackup; echo "\${COMPREPLY[*]}"`, 'bash');
      assert.deepEqual([out, err], [`${expected}\n`, '']);
    });
  }

  it('ends quietly when nobody reads its output', async () => {
    // The pipe's status is that of head; the command's comes through a file descriptor of its own.
    const { out, err } = await shell(
      '{ { "$0" "$1" completion bash; echo "code $?" >&3; } | head -c 1 >/dev/null; } 3>&1',
    );
    assert.deepEqual([out, err], ['code 0\n', '']);
  });

  it('says that standard output cannot be written', async () => {
    const { code, err } = await shell('"$0" "$1" completion bash >/dev/full');
    assert.equal(code, 1);
    assert.match(err, /cannot write standard output: .*ENOSPC.* \[VB_IO\]/);
  });
});
