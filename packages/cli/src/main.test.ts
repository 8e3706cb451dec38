import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VBackupError } from '@vbackup/core/errors';
import { main } from './main.js';
import { parseJsonLines } from './testing/json-promise.js';
import { diskOf, manifestOf } from './testing/manifest.js';
import { writeTestPlugin } from './testing/test-plugin.js';
import { TestWorld } from './testing/test-world.js';

const STREAM = fileURLToPath(new URL('../../core/fixtures/sparse-stream/A/vda.full.data', import.meta.url));

describe('vbackup', () => {
  let folder = '';
  let world = new TestWorld();

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-cli-'));
    world = new TestWorld();
    world.cwd = folder;
    world.home = folder;
    world.env['VBACKUP_CONFIG'] = await writeTestPlugin(folder);
    world.env['VBACKUP_TEST_URL'] = 'https://host';
    world.env['VBACKUP_TEST_PASSWORD'] = 'hunter2';
  });
  afterEach(() => rm(folder, { recursive: true }));

  const run = (line: string): Promise<number> => main(line.split(' ').filter(Boolean), world);
  const refused = async (line: string, code: string, exitCode = 2): Promise<void> => {
    assert.equal(await run(line), exitCode, line);
    assert.match(world.stderr.text, new RegExp(`\\[${code}\\]`), line);
    assert.equal(world.stdout.text, '', line);
    assert.equal(world.fake.jobs.length, 0, line);
  };

  describe('the command line', () => {
    for (const [what, line, code] of [
      ['no arguments', '', 'VB_CLI_USAGE'],
      ['a misspelt command', 'lsit', 'VB_CLI_UNKNOWN_COMMAND'],
      ['a misspelt command beside --hypervisor', 'lsit --hypervisor test', 'VB_CLI_UNKNOWN_COMMAND'],
      ['a command after its options', '--hypervisor test list', 'VB_CLI_USAGE'],
      ['an unknown command', 'frobnicate', 'VB_CLI_UNKNOWN_COMMAND'],
      ['an unknown option', 'list --frob', 'VB_CLI_USAGE'],
      ['an option without its value', 'list --repository', 'VB_CLI_USAGE'],
      ['too many arguments', 'list a b', 'VB_CLI_USAGE'],
      ['a missing argument', 'restore abc', 'VB_CLI_USAGE'],
      ['a backup of nothing', 'backup --hypervisor test', 'VB_CLI_USAGE'],
      ['a backup without a hypervisor', 'backup disk-1', 'VB_CLI_USAGE'],
      ['an unknown hypervisor', '--hypervisor tset disk-1', 'VB_PLUGIN_NOT_FOUND'],
      ['an unknown level', '--hypervisor test d --level most', 'VB_CLI_USAGE'],
      ['no connections', '--hypervisor test d --connections 0', 'VB_CLI_USAGE'],
      ['too many connections', '--hypervisor test d --connections 17', 'VB_CLI_USAGE'],
      ['connections that are no number', '--hypervisor test d --connections 2x', 'VB_CLI_USAGE'],
      ['another compression', '--hypervisor test d --compress zip', 'VB_CLI_USAGE'],
      ['quiet and verbose at once', 'list -q -v', 'VB_CLI_USAGE'],
      ['an option of another hypervisor', '--hypervisor test d --libvirt-uri x', 'VB_CLI_FOREIGN_OPTION'],
      ['a hypervisor’s option without one', 'list --libvirt-uri x', 'VB_CLI_FOREIGN_OPTION'],
      ['a plugin’s option that it has not', '--hypervisor test d --test-ulr x', 'VB_CLI_USAGE'],
      ['an empty value', '--repository= list', 'VB_CLI_USAGE'],
      ['a shell nobody knows', 'completion tcsh', 'VB_CLI_USAGE'],
    ] as const) {
      it(`refuses ${what} with exit code 2`, () => refused(line, code));
    }

    it('suggests what was probably meant', async () => {
      await run('lsit');
      assert.match(world.stderr.text, /did you mean list\?/);
      await run('backup --levle=full');
      assert.match(world.stderr.text, /did you mean --level\?/);
    });

    it('takes a word for a disk when backup stands before it', async () => {
      assert.equal(await run('backup lsit --hypervisor test'), 0);
      assert.equal(world.fake.jobs[0]?.selector, 'lsit');
    });

    for (const line of ['--hypervisor test d --test-password hunter3', '--hypervisor test d --test-password=hunter3']) {
      it(`refuses a secret as an argument and does not repeat it: ${line}`, async () => {
        await refused(line, 'VB_CLI_SECRET_AS_ARGUMENT');
        assert.doesNotMatch(world.stderr.text, /hunter3/);
        assert.match(world.stderr.text, /VBACKUP_TEST_PASSWORD_FILE/);
      });
    }

    it('does not repeat the value of a misspelt option', async () => {
      await refused('--hypervisor test d --test-pasword=hunter3', 'VB_CLI_USAGE');
      assert.doesNotMatch(world.stderr.text, /hunter3/);
    });

    it('takes global options before and after the command', async () => {
      for (const line of ['--json -r /x list', 'list --json -r /x', '--json list -r /x']) {
        const own = new TestWorld();
        own.env['VBACKUP_CONFIG'] = world.env['VBACKUP_CONFIG'];
        assert.equal(await main(line.split(' '), own), 0, line);
        assert.deepEqual(own.fake.opened, [{ location: '/x', create: false }]);
        assert.equal(parseJsonLines(own.stdout.lines).length, 2);
      }
    });

    it('shows the version and the help on standard output', async () => {
      assert.equal(await run('-V'), 0);
      assert.match(world.stdout.text, /^vbackup \d+\.\d+\.\d+\n$/);
      assert.equal(await run('--help'), 0);
      assert.match(world.stdout.text, /restore/);
      assert.equal(world.stderr.text, '');
    });

    it('shows the options of the named hypervisor, but no secret', async () => {
      assert.equal(await run('--hypervisor test --help'), 0);
      assert.match(world.stdout.text, /--test-url <URL>/);
      assert.doesNotMatch(world.stdout.text, /--test-password/);
    });
  });

  describe('backup', () => {
    it('makes a missing repository and shows the result on standard output', async () => {
      assert.equal(await run('--hypervisor test disk-1 -r repo'), 0);
      assert.deepEqual(world.fake.opened, [{ location: join(folder, 'repo'), create: true }]);
      assert.match(world.stdout.text, /^1b00000000000000 {2}full \(first-backup\) of .*: 1\.0 GiB, 300\.0 MiB data/);
      assert.match(world.stderr.text, /xvda: full \(first-backup\), 1\.0 GiB of 1\.0 GiB/);
      assert.match(world.stderr.text, /vbackup: warning: something odd \[VB_COMMIT_INCOMPLETE\]/);
      assert.match(world.stderr.text, /connected to https:\/\/host \[VB_CLEANUP_INCOMPLETE\]/);
    });

    it('hands level, compression and connections down', async () => {
      await run('--hypervisor test disk-1 --level inc --compress none --connections 4');
      const [job] = world.fake.jobs;
      assert.deepEqual([job?.level, job?.compression, job?.connections], ['inc', 'none', 4]);
      assert.equal(job?.hypervisorName, 'test');
    });

    it('says nothing with -q when all is well', async () => {
      assert.equal(await run('-q --hypervisor test disk-1'), 0);
      assert.equal(world.stdout.text + world.stderr.text, '');
    });

    it('goes on with the other disks when one fails, and exits with 3', async () => {
      world.fake.faults.set('b', new VBackupError('VB_GUEST_NOT_FOUND', 'no disk b'));
      assert.equal(await run('--hypervisor test a b c'), 3);
      assert.deepEqual(
        world.fake.jobs.map(({ selector }) => selector),
        ['a', 'b', 'c'],
      );
      assert.match(world.stderr.text, /vbackup: b: no disk b \[VB_GUEST_NOT_FOUND\]/);
      assert.match(world.stderr.text, /2 done, 1 failed/);
    });

    it('exits with the failures’ own code when all failed alike, and with 1 when they differ', async () => {
      world.fake.faults.set('a', new VBackupError('VB_GUEST_NOT_FOUND', 'no a'));
      world.fake.faults.set('b', new VBackupError('VB_GUEST_NOT_FOUND', 'no b'));
      world.fake.faults.set('c', new VBackupError('VB_IO', 'no c'));
      assert.equal(await run('--hypervisor test a b'), 10);
      assert.equal(await run('--hypervisor test a c'), 1);
    });

    it('backs a disk up once that is named twice', async () => {
      await run('--hypervisor test a a');
      assert.equal(world.fake.jobs.length, 1);
    });

    for (const [error, exitCode, text] of [
      [
        new VBackupError('VB_ACCESS_DENIED', 'not yours', { cure: 'ask' }),
        12,
        /not yours \[VB_ACCESS_DENIED\]\n {2}ask/,
      ],
      [new VBackupError('VB_XEN_AUTHENTICATION', 'who'), 12, /VB_XEN_AUTHENTICATION/],
      [new VBackupError('VB_XEN_FINGERPRINT_MISMATCH', 'who'), 12, /VB_XEN_FINGERPRINT_MISMATCH/],
      [new VBackupError('VB_NO_SPACE', 'full'), 1, /VB_NO_SPACE/],
      [Object.assign(new Error('EACCES: /x'), { code: 'EACCES', syscall: 'open' }), 12, /VB_ACCESS_DENIED/],
      [Object.assign(new Error('ENOSPC: /x'), { code: 'ENOSPC', syscall: 'write' }), 1, /VB_NO_SPACE/],
      [Object.assign(new Error('EIO: /x'), { code: 'EIO', syscall: 'read' }), 1, /VB_IO/],
      [new TypeError('x is undefined'), 70, /a defect of vbackup: TypeError: x is undefined \[VB_INTERNAL\]\n.*report/],
      ['a string', 70, /VB_INTERNAL/],
    ] as const) {
      it(`ends with ${exitCode} for ${String(error)}`, async () => {
        world.fake.faults.set('a', error);
        assert.equal(await run('--hypervisor test a'), exitCode);
        assert.match(world.stderr.text, text);
        assert.doesNotMatch(world.stderr.text, /\n +at /);
      });
    }

    it('shows the stack of a defect with -v', async () => {
      world.fake.faults.set('a', new TypeError('x is undefined'));
      await run('-v --hypervisor test a');
      assert.match(world.stderr.text, /\n +at /);
    });

    it('is done even if the connection does not end well', async () => {
      world.env['VBACKUP_TEST_URL'] = 'broken';
      assert.equal(await run('--hypervisor test a'), 0);
      assert.match(world.stderr.text, /warning: the connection to test did not end well: .*sulks/);
    });

    it('names a line a minute where there is no terminal', async () => {
      world.fake.during = ({ onEvent }) => {
        for (let at = 0; at < 300; at++) {
          world.time += 1000;
          onEvent?.({ type: 'progress', disk: 'xvda', done: at * 2 ** 20, planned: 2 ** 30 });
        }
      };
      await run('--hypervisor test a');
      const lines = world.stderr.lines.filter((line) => line.includes(' left'));
      assert.equal(lines.length, 5);
      assert.match(lines[4] ?? '', /^xvda: \d+% {2}\d+\.\d MiB of 1\.0 GiB {2}1\.0 MiB\/s {2}\d+:\d\d left$/);
    });
  });

  describe('a signal', () => {
    for (const [signal, exitCode] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      it(`${signal} aborts the work, stops the other disks and ends with ${exitCode}`, async () => {
        world.fake.during = () => world.stop(signal);
        assert.equal(await run('--hypervisor test a b'), exitCode);
        assert.equal(world.fake.jobs.length, 1);
        assert.match(world.stderr.text, new RegExp(`interrupted by ${signal}`));
        assert.deepEqual(world.exits, []);
        assert.equal(world.listeners, 0);
      });
    }

    it('leaves at once when it comes twice', async () => {
      world.fake.during = () => {
        world.stop('SIGINT');
        world.stop('SIGINT');
      };
      await run('--hypervisor test a');
      assert.deepEqual(world.exits, [130]);
    });
  });

  describe('the values of a plugin', () => {
    const values = async (line: string): Promise<unknown> => {
      assert.equal(await run(line), 0, world.stderr.text);
      return JSON.parse((await world.fake.jobs[0]?.hypervisor.find('a'))?.name ?? '');
    };

    it('come from flags before the environment before the configuration', async () => {
      const table = '[test]\nurl = "configured"\nfast = true\nretries = 3\nca = "./ca.pem"\n';
      world.env['VBACKUP_CONFIG'] = await writeTestPlugin(folder, table);
      world.env['VBACKUP_TEST_RETRIES'] = '5';
      const expected = { url: 'flag', ca: join(folder, 'ca.pem'), fast: false, retries: 5, password: 'hunter2' };
      assert.deepEqual(await values('--hypervisor test a --test-url flag --no-test-fast'), expected);
    });

    it('may be missing only where they are not required', async () => {
      world.env['VBACKUP_TEST_URL'] = '';
      await refused('--hypervisor test a', 'VB_PLUGIN_OPTION');
      assert.match(world.stderr.text, /--test-url, set VBACKUP_TEST_URL/);
    });

    it('are checked by their type', async () => {
      await refused('--hypervisor test a --test-retries many', 'VB_PLUGIN_OPTION');
    });

    it('are never printed where they are secret, not even in the log', async () => {
      world.fake.faults.set('a', new TypeError('odd'));
      await run('-v --hypervisor test a --log-file log');
      const log = await readFile(join(folder, 'log'), 'utf8');
      assert.doesNotMatch(world.stderr.text.replaceAll(/^backup .*$/gm, ''), /hunter2/);
      assert.doesNotMatch(log.replaceAll(/guest=.*$/gm, ''), /hunter2/);
    });
  });

  describe('list', () => {
    it('shows chains in order, and damaged manifests as warnings', async () => {
      const full = manifestOf('a1');
      const inc = manifestOf('b2', {
        level: 'inc',
        reason: undefined,
        parent: full.id,
        time: '2026-11-20T11:00:00.000Z',
      });
      world.fake.backups = [inc, full];
      world.fake.damaged = [{ path: '/r/x.json', error: new VBackupError('VB_IO', 'not JSON') }];
      assert.equal(await run('list'), 0);
      const [title, first, second] = world.stdout.lines;
      assert.match(title ?? '', /^ID +TIME +LEVEL +REASON +SIZE +STORED +NAME$/);
      assert.match(first ?? '', /^a100000000000000 .* full +first-backup +1\.0 GiB +100\.0 MiB +web01$/);
      assert.match(second ?? '', /^b200000000000000 .* inc +1\.0 GiB/);
      assert.match(world.stderr.text, /warning: \/r\/x\.json: not JSON \[VB_IO\]/);
    });

    it('shows those of one guest or disk, and says 10 when there are none', async () => {
      world.fake.backups = [
        manifestOf('a1'),
        manifestOf('c3', { guest: { id: 'g', name: 'db', kind: 'disk' }, disks: [] }),
      ];
      for (const name of ['web01', 'guest-1', 'id-of-xvda']) {
        world.stdout.text = '';
        assert.equal(await run(`list ${name}`), 0);
        assert.equal(world.stdout.lines.length, 2, name);
      }
      assert.equal(await run('list nobody'), 10);
    });

    it('says on standard error that there are none', async () => {
      assert.equal(await run('list'), 0);
      assert.equal(world.stdout.text, '');
      assert.match(world.stderr.text, /no backups/);
    });

    it('lets no name drive the terminal', async () => {
      world.fake.backups = [manifestOf('a1', { guest: { id: 'g', name: 'evil\x1b[2J\nname', kind: 'disk' } })];
      await run('list');
      assert.equal(world.stdout.lines.length, 2);
      assert.ok(!world.stdout.text.includes('\x1b'));
    });
  });

  describe('info', () => {
    it('shows what the manifest knows, and the chain', async () => {
      const full = manifestOf('a1');
      world.fake.backups = [full, manifestOf('b2', { parent: full.id, level: 'inc', reason: undefined })];
      assert.equal(await run('info b2'), 0);
      assert.match(world.stdout.text, /^chain +a100000000000000 > b200000000000000$/m);
      assert.match(world.stdout.text, /changes found by all/);
      assert.match(world.stdout.text, /xvda\.full\.data +1\.2 KiB +sha256:abab/);
    });

    it('shows a SparseStream file, by its path or its name', async () => {
      await copyFile(STREAM, join(folder, 'vda.full.data'));
      for (const name of ['./vda.full.data', 'vda.full.data']) {
        world.stdout.text = '';
        assert.equal(await run(`info ${name}`), 0);
        assert.match(world.stdout.text, /^format +SparseStream 2$/m);
      }
      assert.deepEqual(world.fake.opened, []);
    });

    it('says where a SparseStream file is faulty', async () => {
      await writeFile(join(folder, 'x.data'), 'no stream at all, but long enough to be one');
      assert.equal(await run('info x.data'), 1);
      assert.match(world.stderr.text, /\(at byte \d+\) \[VB_SPARSE_/);
    });

    it('says 10 for a backup that is not there', async () => {
      assert.equal(await run('info ffff'), 10);
    });
  });

  describe('verify', () => {
    const damage = [
      {
        code: 'VB_FRAME_DIGEST',
        message: 'not what was written',
        file: 'x.data',
        disk: 'xvda',
        extent: { offset: 0, length: 8 },
      },
    ];

    it('says of every backup whether it is good', async () => {
      world.fake.backups = [manifestOf('a1'), manifestOf('b2')];
      assert.equal(await run('verify'), 0);
      assert.deepEqual(world.stdout.lines, ['a100000000000000  good  web01', 'b200000000000000  good  web01']);
    });

    it('names the damage and ends with 14, also with -q', async () => {
      world.fake.backups = [manifestOf('a1'), manifestOf('b2')];
      world.fake.damage.set(manifestOf('b2').id, damage);
      assert.equal(await run('verify -q'), 14);
      assert.deepEqual(world.stdout.lines, [
        'b200000000000000  DAMAGED  web01',
        '  x.data: not what was written; bytes 0 to 7 of xvda [VB_FRAME_DIGEST]',
      ]);
      assert.equal(await run('verify a1'), 0);
    });

    it('ends with 14 for damage that belongs to no readable backup', async () => {
      world.fake.damage.set('general', damage);
      assert.equal(await run('verify'), 14);
      assert.match(world.stdout.text, /not what was written/);
    });
  });

  describe('restore', () => {
    beforeEach(() => {
      world.fake.backups = [manifestOf('a1'), manifestOf('b2', { disks: [diskOf('xvda'), diskOf('xvdb')] })];
    });

    it('writes to a file, and hands --force down', async () => {
      assert.equal(await run('restore a1 out.raw --force'), 0);
      assert.deepEqual(world.fake.restored, [{ disk: 'xvda', target: `${join(folder, 'out.raw')}!` }]);
      assert.match(world.stdout.text, /^xvda of a100000000000000 restored to out\.raw: 1\.0 KiB, 512 B written/);
    });

    it('writes to an NBD server', async () => {
      for (const uri of ['nbd://host/x', 'nbds://host/x', 'nbd+unix:///x?socket=/s']) {
        assert.equal(await run(`restore a1 ${uri}`), 0);
      }
      assert.equal(world.fake.restored.length, 3);
    });

    it('asks which disk where there are several', async () => {
      await refused('restore b2 out.raw', 'VB_CLI_USAGE');
      assert.match(world.stderr.text, /choose with --disk: xvda, xvdb/);
      assert.equal(await run('restore b2 out.raw --disk xvdb'), 0);
      assert.equal(await run('restore b2 out.raw --disk xvdz'), 2);
    });

    it('writes every disk into a folder', async () => {
      await mkdir(join(folder, 'all'));
      assert.equal(await run('restore b2 all'), 0);
      const expected = ['xvda', 'xvdb'].map((disk) => ({ disk, target: join(folder, 'all', `${disk}.raw`) }));
      assert.deepEqual(world.fake.restored, expected);
    });

    it('hands a target of a hypervisor to its plugin', async () => {
      assert.equal(await run('restore a1 test:sr=1'), 70);
      assert.match(world.stderr.text, /target sr=1/);
      assert.equal(await run('restore a1 tset:sr=1'), 2);
    });
  });

  describe('doctor', () => {
    it('names what is wrong with its cure, and goes on', async () => {
      assert.equal(await run(`doctor --hypervisor test -r ${folder}`), 1);
      assert.match(world.stdout.text, /^good +node: v/m);
      assert.match(world.stdout.text, /^good +lz4: /m);
      assert.match(world.stdout.text, /^good +access: /m);
      assert.match(world.stdout.text, /^bad +cbt: is off\n +switch it on$/m);
    });

    it('finds what a dead run left', async () => {
      await mkdir(join(folder, 'xen', 'guest'), { recursive: true });
      await writeFile(join(folder, 'xen', 'guest', 'journal.ndjson'), '{}\n');
      assert.equal(await run(`doctor -r ${folder}`), 0);
      assert.match(world.stdout.text, /^warning +leftover: .*xen guest/m);
    });

    it('survives a hypervisor and a configuration that cannot be used', async () => {
      world.env['VBACKUP_TEST_URL'] = 'down';
      assert.equal(await run(`doctor --hypervisor test -r ${folder}`), 1);
      assert.match(world.stdout.text, /^bad +test: .*the plugin is broken/m);
    });
  });

  describe('completion', () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      it(`knows every command, option and value for ${shell}`, async () => {
        assert.equal(await run(`completion ${shell}`), 0);
        for (const word of ['backup', 'restore', 'connections', 'libvirt-uri', 'log-file', 'auto full inc diff copy']) {
          assert.ok(world.stdout.text.includes(word), word);
        }
      });
    }

    it('takes the shell of $SHELL', async () => {
      world.env['SHELL'] = '/usr/bin/fish';
      assert.equal(await run('completion'), 0);
      assert.match(world.stdout.text, /^complete -c vbackup/m);
    });
  });

  describe('--json', () => {
    const lines = (): ReturnType<typeof parseJsonLines> => parseJsonLines(world.stdout.lines);

    it('keeps its promise for every command', async () => {
      world.fake.faults.set('b', new VBackupError('VB_IO', 'odd', { cure: 'mend it', cause: new Error('deep') }));
      await copyFile(STREAM, join(folder, 'vda.full.data'));
      const manifest = manifestOf('a1');
      world.fake.backups = [manifest];
      world.fake.damaged = [{ path: '/r/x.json', error: new VBackupError('VB_IO', 'not JSON') }];
      const damage = [{ code: 'VB_IO', message: 'x', file: 'y', offset: 3, extent: { offset: 1, length: 2 } }];
      world.fake.damage.set(manifest.id, damage).set('general', damage);
      const all = ['--hypervisor test a b', 'list', 'info a1', 'info ./vda.full.data', 'verify', 'restore a1 x'];
      for (const line of [...all, `doctor --hypervisor test -r ${folder}`, 'completion bash', 'lsit', 'info zz']) {
        world.stdout.text = '';
        await run(`${line} --json`);
        const [last] = lines().slice(-1);
        assert.ok(last?.type === 'error' || (last?.type === 'summary' && last.scope === 'run'), line);
      }
      assert.equal(world.stderr.text, '');
    });

    it('tells start, progress, warning and summary of a backup, in order', async () => {
      assert.equal(await run('--json --hypervisor test a'), 0);
      const told = lines().map((line) => ('scope' in line ? `${line.type} ${line.scope}` : line.type));
      const starts = ['start run', 'warning', 'start item', 'start disk'];
      const progress = ['progress', 'progress', 'progress', 'progress', 'warning', 'progress'];
      assert.deepEqual(told, [...starts, ...progress, 'summary item', 'summary run']);
    });

    it('leaves progress out with --no-progress, and more with -q', async () => {
      await run('--json --no-progress --hypervisor test a');
      assert.ok(lines().every(({ type }) => type !== 'progress'));
      world.stdout.text = '';
      await run('--json -q --hypervisor test a');
      assert.ok(lines().every(({ type }) => type === 'summary'));
    });

    it('gives an error its exit code', async () => {
      world.fake.faults.set('a', new VBackupError('VB_GUEST_NOT_FOUND', 'no a', { cure: 'look' }));
      assert.equal(await run('--json --hypervisor test a'), 10);
      const last = lines().at(-1);
      assert.ok(last?.type === 'error');
      assert.deepEqual([last.exitCode, last.cure, last.code], [10, 'look', 'VB_GUEST_NOT_FOUND']);
    });
  });

  describe('--log-file', () => {
    it('gets everything with its time, and is appended to', async () => {
      await run('--hypervisor test a --log-file log -q');
      await run('list --log-file log');
      const log = await readFile(join(folder, 'log'), 'utf8');
      const lines = log.trimEnd().split('\n');
      assert.ok(lines.every((line) => /^\d{4}-\d\d-\d\dT\S+Z (start|progress|warning|summary|error) /.test(line)));
      assert.match(log, /warning +something odd \[VB_COMMIT_INCOMPLETE\]/);
      assert.match(log, /command=list/);
    });

    it('may break without breaking the work', async () => {
      assert.equal(await run('--hypervisor test a --log-file /dev/full'), 0);
      assert.match(world.stderr.text, /warning: some of the output is lost from here on: .*ENOSPC.*\[VB_NO_SPACE\]/);
      assert.equal(world.stderr.text.match(/is lost/g)?.length, 1);
    });

    it('that cannot be opened is an error before anything is done', async () => {
      assert.equal(await run('--hypervisor test a --log-file /nowhere/log'), 1);
      assert.equal(world.fake.jobs.length, 0);
    });
  });

  describe('on a terminal', () => {
    it('draws a live line, takes it away at the end, and colours only if it may', async () => {
      world.stderr.isTTY = true;
      await run('--hypervisor test a');
      assert.match(world.stderr.text, /xvda: 50% {2}512\.0 MiB of 1\.0 GiB/);
      assert.ok(world.stderr.text.includes('\x1b[33mvbackup: warning:'));
      world.stderr.text = '';
      world.env['NO_COLOR'] = '1';
      await run('--hypervisor test a --no-progress');
      assert.ok(!world.stderr.text.includes('\x1b'));
    });
  });
});
