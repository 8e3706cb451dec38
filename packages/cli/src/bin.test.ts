import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const LOADED = new URL('./testing/loaded-modules.js', import.meta.url).href;
const ARCHIVE = fileURLToPath(new URL('../../core/fixtures/vma/01-basic.vma', import.meta.url));
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

  it('tells the same version whether or not anything else is asked', async () => {
    const tell = (...args: string[]) => shell(`"$0" "$1" ${args.join(' ')}`);
    const shown = await tell('--version');
    assert.match(shown.out, /^vbackup \d+\.\d+\.\d+\n$/);
    assert.deepEqual(await tell('-V'), shown);
    assert.deepEqual(await tell('--no-color', '--version'), shown);
    const refused = await shell('"$0" "$1" --version >/dev/full');
    assert.equal(refused.code, 1);
    assert.match(refused.err, /^vbackup: cannot write standard output: .*ENOSPC/);
  });

  /** Other packages by name, vbackup's own by module. */
  const loadedBy = async (line: string): Promise<readonly string[]> => {
    const { out } = await shell(`VBACKUP_REPOSITORY='${folder}' "$0" --import '${LOADED}' "$1" ${line}`);
    return (/^loaded: (.*)$/m.exec(out)?.[1] ?? '').split(' ');
  };

  it('loads nothing to tell its version', async () => {
    assert.deepEqual(await loadedBy('--version'), ['@vbackup/cli/bin/vbackup']);
  });

  it('loads the grammar and the descriptions of plugins to show help', async () => {
    for (const line of ['--help', 'help', 'list --help', 'completion bash']) {
      const loaded = (await loadedBy(line)).filter((name) => !name.startsWith('@vbackup/cli/'));
      assert.deepEqual(
        loaded,
        [
          '@vbackup/core/errors/codes',
          '@vbackup/core/errors/errors',
          '@vbackup/core/errors/index',
          '@vbackup/image-plugin/file/description',
          '@vbackup/image-plugin/nbd/description',
          '@vbackup/libvirt-plugin/description',
          '@vbackup/xen-plugin/description',
          'commander',
        ],
        line,
      );
    }
  });

  const ALWAYS_UNUSED = [
    '@vbackup/core/index',
    '@vbackup/core/nbd/',
    'koffi',
    'lz4-napi',
    'tsyringe',
    'reflect-metadata',
  ];
  for (const [line, used, unused] of [
    ['list', '@vbackup/core/backup/repository/scan', ['@vbackup/core/vma/', '@vbackup/core/backup/workers/']],
    ['vma list', '@vbackup/core/vma/read-header', ['@vbackup/core/backup/', '@vbackup/core/vma/writer', 'valibot']],
    ['vma verify', '@vbackup/core/vma/verify', ['@vbackup/core/backup/', 'valibot']],
  ] as const) {
    it(`loads for ${line} only what it needs`, async () => {
      await writeFile(
        join(folder, 'vbackup.json'),
        '{"format":"vbackup-repository","version":1,"id":"0000000000000000"}',
      );
      const loaded = await loadedBy(line === 'list' ? line : `${line} '${ARCHIVE}'`);
      assert.ok(loaded.includes(used), loaded.join(' '));
      const plugins = loaded.filter((name) => name.includes('-plugin/'));
      const surplus = loaded.filter((name) => [...ALWAYS_UNUSED, ...unused].some((each) => name.startsWith(each)));
      assert.deepEqual([...plugins, ...surplus], []);
    });
  }

  it('loads for a backup neither archives nor the entry that loads everything', async () => {
    const disk = join(folder, 'disk.raw');
    await writeFile(disk, Buffer.alloc(64 * 1024, 1));
    const loaded = await loadedBy(`-r '${join(folder, 'kept')}' --hypervisor file '${disk}'`);
    assert.ok(loaded.includes('@vbackup/core/backup/run-backup'), loaded.join(' '));
    const surplus = [
      '@vbackup/core/index',
      '@vbackup/core/vma/',
      '@vbackup/core/backup/archive/',
      '@vbackup/core/nbd/client',
      '@vbackup/core/sparse-stream/decoder',
      '@vbackup/core/sparse-stream/scan',
      '@vbackup/xen-plugin',
      '@vbackup/libvirt-plugin',
      '@vbackup/core/backup/audit/audit-disk',
      '@vbackup/core/backup/compare/',
      '@vbackup/core/backup/forgotten/',
      'tsyringe',
      'reflect-metadata',
    ];
    assert.deepEqual(
      loaded.filter((name) => surplus.some((each) => name.startsWith(each))),
      [],
    );
  });

  for (const name of ['xen', 'libvirt']) {
    it(`loads with the plugin ${name} the rooms of the core that it uses, never the whole`, async () => {
      const { out } = await shell(
        `"$0" --import '${LOADED}' -e "import('${import.meta.resolve(`@vbackup/${name}-plugin`)}')"`,
      );
      const loaded = (/^loaded: (.*)$/m.exec(out)?.[1] ?? '').split(' ');
      assert.ok(loaded.includes(`@vbackup/${name}-plugin/plugin`), out);
      const surplus = [
        '@vbackup/core/index',
        '@vbackup/core/backup/run-',
        '@vbackup/core/serve/',
        '@vbackup/core/vma/',
        'tsyringe',
      ];
      assert.deepEqual(
        loaded.filter((each) => surplus.some((part) => each.startsWith(part))),
        [],
      );
    });
  }

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
    ['vbackup restore --for', '--format --force'],
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
