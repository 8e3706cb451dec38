import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { main } from './main.js';
import { parseJsonLines } from './testing/json-promise.js';
import { testProgram } from './testing/program.js';
import { writeTestPlugin } from './testing/test-plugin.js';
import { TestWorld } from './testing/test-world.js';

describe('vbackup', () => {
  const program = testProgram();

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
      ['an audit of no share', '--hypervisor test d --audit 1/0', 'VB_CLI_USAGE'],
      ['an audit of too many shares', '--hypervisor test d --audit 1/1001', 'VB_CLI_USAGE'],
      ['an audit of several shares', '--hypervisor test d --audit 2/3', 'VB_CLI_USAGE'],
      ['an audit that is no share', '--hypervisor test d --audit 30', 'VB_CLI_USAGE'],
      ['another compression', '--hypervisor test d --compress zip', 'VB_CLI_USAGE'],
      ['quiet and verbose at once', 'list -q -v', 'VB_CLI_USAGE'],
      ['an option of another hypervisor', '--hypervisor test d --libvirt-uri x', 'VB_CLI_FOREIGN_OPTION'],
      ['a hypervisor’s option without one', 'list --libvirt-uri x', 'VB_CLI_FOREIGN_OPTION'],
      ['the short name of another hypervisor’s option', '--hypervisor test d --bitmap x', 'VB_CLI_FOREIGN_OPTION'],
      ['the short name of a hypervisor’s option without one', 'list --dirty-bitmap x', 'VB_CLI_FOREIGN_OPTION'],
      ['a plugin’s option that it has not', '--hypervisor test d --test-ulr x', 'VB_CLI_USAGE'],
      ['an empty value', '--repository= list', 'VB_CLI_USAGE'],
      ['a group without its command', 'vma', 'VB_CLI_USAGE'],
      ['a command that a group has not', 'vma frobnicate', 'VB_CLI_UNKNOWN_COMMAND'],
      ['a command of a group without its argument', 'vma list', 'VB_CLI_USAGE'],
      ['a shell nobody knows', 'completion tcsh', 'VB_CLI_USAGE'],
    ] as const) {
      it(`refuses ${what} with exit code 2`, () => program.refused(line, code));
    }

    it('suggests what was probably meant', async () => {
      await program.run('lsit');
      assert.match(program.world.stderr.text, /did you mean list\?/);
      await program.run('backup --levle=full');
      assert.match(program.world.stderr.text, /did you mean --level\?/);
      await program.run('vma lst');
      assert.match(program.world.stderr.text, /unknown command vma lst .*\n.*did you mean vma list\?/);
      await program.run('vma list x --compta');
      assert.match(program.world.stderr.text, /did you mean --compat\?/);
    });

    it('shows what a group has, and where to read on', async () => {
      await program.run('vma');
      assert.match(program.world.stderr.text, /vma needs a command .*\n.*one of list.*vbackup vma --help/);
      await program.run('vma list');
      assert.match(program.world.stderr.text, /missing required argument .*\n {2}see vbackup vma list --help/);
    });

    for (const line of ['vma --help', 'help vma', 'vma help']) {
      it(`shows the help of a group: ${line}`, async () => {
        assert.equal(await program.run(line), 0);
        assert.match(program.world.stdout.text, /^ {2}list .*what an archive holds/m);
      });
    }

    for (const line of ['vma list --help', 'vma help list']) {
      it(`shows the help of a command of a group: ${line}`, async () => {
        assert.equal(await program.run(line), 0);
        assert.match(program.world.stdout.text, /^Usage: vbackup vma list .*--compat/ms);
      });
    }

    it('takes a word for a disk when backup stands before it', async () => {
      assert.equal(await program.run('backup lsit --hypervisor test'), 0);
      assert.equal(program.world.fake.jobs[0]?.selector, 'lsit');
    });

    for (const line of ['--hypervisor test d --test-password hunter3', '--hypervisor test d --test-password=hunter3']) {
      it(`refuses a secret as an argument and does not repeat it: ${line}`, async () => {
        await program.refused(line, 'VB_CLI_SECRET_AS_ARGUMENT');
        assert.doesNotMatch(program.world.stderr.text, /hunter3/);
        assert.match(program.world.stderr.text, /VBACKUP_TEST_PASSWORD_FILE/);
      });
    }

    it('refuses a secret by its short name as well', async () => {
      await program.refused('--hypervisor test d --password=hunter3', 'VB_CLI_SECRET_AS_ARGUMENT');
      assert.doesNotMatch(program.world.stderr.text, /hunter3/);
      assert.match(program.world.stderr.text, /--password is refused.*\n.*VBACKUP_TEST_PASSWORD_FILE/);
    });

    for (const line of [
      '--test-zone a --zone b',
      '--zone=a --test-zone=b',
      '--careful --no-test-careful',
      '--no-careful --test-careful',
    ]) {
      it(`refuses one option with two values: ${line}`, () =>
        program.refused(`--hypervisor test d ${line}`, 'VB_CLI_USAGE'));
    }

    it('does not repeat the value of a misspelt option', async () => {
      await program.refused('--hypervisor test d --test-pasword=hunter3', 'VB_CLI_USAGE');
      assert.doesNotMatch(program.world.stderr.text, /hunter3/);
    });

    it('takes global options before and after the command', async () => {
      for (const line of ['--json -r /x list', 'list --json -r /x', '--json list -r /x']) {
        const own = new TestWorld();
        own.env['VBACKUP_CONFIG'] = program.world.env['VBACKUP_CONFIG'];
        assert.equal(await main(line.split(' '), own), 0, line);
        assert.deepEqual(own.fake.opened, [{ location: '/x', create: false }]);
        assert.equal(parseJsonLines(own.stdout.lines).length, 2);
      }
    });

    it('shows the version and the help on standard output', async () => {
      assert.equal(await program.run('-V'), 0);
      assert.match(program.world.stdout.text, /^vbackup \d+\.\d+\.\d+\n$/);
      assert.equal(await program.run('--help'), 0);
      assert.match(program.world.stdout.text, /restore/);
      assert.equal(program.world.stderr.text, '');
    });

    it('shows the options of the named hypervisor, but no secret', async () => {
      assert.equal(await program.run('--hypervisor test --help'), 0);
      assert.match(program.world.stdout.text, /--test-url <URL>/);
      assert.doesNotMatch(program.world.stdout.text, /password/);
    });

    it('shows the short name of an option beside the other, unless it is taken', async () => {
      assert.equal(await program.run('--hypervisor test --help'), 0);
      assert.match(program.world.stdout.text, /--zone, --test-zone <NAME>/);
      assert.match(program.world.stdout.text, /--careful, --test-careful/);
      assert.match(program.world.stdout.text, /^ +--test-depth <NUMBER>/m);
    });
  });

  describe('a signal', () => {
    for (const [signal, exitCode] of [
      ['SIGHUP', 129],
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      it(`${signal} aborts the work, stops the other disks and ends with ${exitCode}`, async () => {
        program.world.fake.during = () => program.world.stop(signal);
        assert.equal(await program.run('--hypervisor test a b'), exitCode);
        assert.equal(program.world.fake.jobs.length, 1);
        assert.match(program.world.stderr.text, new RegExp(`interrupted by ${signal}`));
        assert.deepEqual(program.world.exits, []);
        assert.equal(program.world.listeners, 0);
      });
    }

    it('leaves at once when it comes twice', async () => {
      program.world.fake.during = () => {
        program.world.stop('SIGINT');
        program.world.stop('SIGINT');
      };
      await program.run('--hypervisor test a');
      assert.deepEqual(program.world.exits, [130]);
    });
  });

  describe('the values of a plugin', () => {
    const values = async (line: string): Promise<unknown> => {
      assert.equal(await program.run(line), 0, program.world.stderr.text);
      return JSON.parse((await program.world.fake.jobs[0]?.hypervisor.find('a'))?.name ?? '');
    };

    it('come from flags before the environment before the configuration', async () => {
      const table = '[test]\nurl = "configured"\nfast = true\nretries = 3\nca = "./ca.pem"\n';
      program.world.env['VBACKUP_CONFIG'] = await writeTestPlugin(program.folder, table);
      program.world.env['VBACKUP_TEST_RETRIES'] = '5';
      const expected = {
        url: 'flag',
        ca: join(program.folder, 'ca.pem'),
        fast: false,
        retries: 5,
        password: 'hunter2',
      };
      assert.deepEqual(await values('--hypervisor test a --test-url flag --no-test-fast'), expected);
    });

    it('come from a flag without the name of the plugin as well', async () => {
      const expected = { url: 'https://host', zone: 'east', careful: false, password: 'hunter2' };
      for (const flags of [
        '--zone east --no-careful',
        '--zone=east --test-zone east --no-careful --no-test-careful',
        '--test-zone=east --no-test-careful',
      ]) {
        program.world.fake.jobs.length = 0;
        assert.deepEqual(await values(`--hypervisor test a ${flags}`), expected, flags);
      }
    });

    it('leave a flag of the command alone', async () => {
      assert.deepEqual(await values('--hypervisor test a --level full --test-depth 3'), {
        url: 'https://host',
        depth: 3,
        password: 'hunter2',
      });
      assert.equal(program.world.fake.jobs[0]?.level, 'full');
    });

    it('have no short name in the environment', async () => {
      program.world.env['VBACKUP_ZONE'] = 'east';
      assert.deepEqual(await values('--hypervisor test a'), { url: 'https://host', password: 'hunter2' });
    });

    it('may be missing only where they are not required', async () => {
      program.world.env['VBACKUP_TEST_URL'] = '';
      await program.refused('--hypervisor test a', 'VB_PLUGIN_OPTION');
      assert.match(program.world.stderr.text, /--test-url, set VBACKUP_TEST_URL/);
    });

    it('are checked by their type', async () => {
      await program.refused('--hypervisor test a --test-retries many', 'VB_PLUGIN_OPTION');
    });

    it('are never printed where they are secret, not even in the log', async () => {
      program.world.fake.faults.set('a', new TypeError('odd'));
      await program.run('-v --hypervisor test a --log-file log');
      const log = await readFile(join(program.folder, 'log'), 'utf8');
      assert.doesNotMatch(program.world.stderr.text.replaceAll(/^backup .*$/gm, ''), /hunter2/);
      assert.doesNotMatch(log.replaceAll(/guest=.*$/gm, ''), /hunter2/);
    });
  });
});
