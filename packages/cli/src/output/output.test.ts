import assert from 'node:assert/strict';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VBackupError } from '@vbackup/core/errors';
import { parseJsonLines } from '../testing/json-promise.js';
import { manifestOf } from '../testing/manifest.js';
import { testProgram } from '../testing/program.js';

const STREAM = fileURLToPath(new URL('../../../core/fixtures/sparse-stream/A/vda.full.data', import.meta.url));

describe('vbackup', () => {
  const program = testProgram();

  describe('--json', () => {
    const lines = (): ReturnType<typeof parseJsonLines> => parseJsonLines(program.world.stdout.lines);

    it('keeps its promise for every command', async () => {
      program.world.fake.faults.set(
        'b',
        new VBackupError('VB_IO', 'odd', { cure: 'mend it', cause: new Error('deep') }),
      );
      await copyFile(STREAM, join(program.folder, 'vda.full.data'));
      const manifest = manifestOf('a1');
      program.world.fake.backups = [manifest];
      program.world.fake.damaged = [{ path: '/r/x.json', error: new VBackupError('VB_IO', 'not JSON') }];
      const damage = [{ code: 'VB_IO', message: 'x', file: 'y', offset: 3, extent: { offset: 1, length: 2 } }];
      program.world.fake.damage.set(manifest.id, damage).set('general', damage);
      const all = ['--hypervisor test a b', 'list', 'info a1', 'info ./vda.full.data', 'verify', 'restore a1 x'];
      for (const line of [
        ...all,
        `doctor --hypervisor test -r ${program.folder}`,
        'completion bash',
        'lsit',
        'info zz',
      ]) {
        program.world.stdout.text = '';
        await program.run(`${line} --json`);
        const [last] = lines().slice(-1);
        assert.ok(last?.type === 'error' || (last?.type === 'summary' && last.scope === 'run'), line);
      }
      assert.equal(program.world.stderr.text, '');
    });

    it('tells start, progress, warning and summary of a backup, in order', async () => {
      assert.equal(await program.run('--json --hypervisor test a'), 0);
      const told = lines().map((line) => ('scope' in line ? `${line.type} ${line.scope}` : line.type));
      const starts = ['start run', 'warning', 'start item', 'start disk'];
      const progress = ['progress', 'progress', 'progress', 'progress', 'warning', 'progress'];
      assert.deepEqual(told, [...starts, ...progress, 'summary item', 'summary run']);
    });

    it('tells an audit before its disk, and its progress apart from the disk’s', async () => {
      assert.equal(await program.run('--json --hypervisor test a --audit 1/4'), 0);
      const [start, half, end, next] = lines().slice(3);
      assert.ok(start?.type === 'start' && start.scope === 'audit');
      assert.deepEqual([start.disk, start.share, start.shares, start.planned], ['xvda', 0, 4, 1024 ** 2]);
      assert.ok(half?.type === 'progress' && end?.type === 'progress');
      assert.deepEqual([half.audit, half.done, half.finished], [true, 1024 ** 2 / 2, undefined]);
      const finished = { read: 1024 ** 2, data: 0, stored: 0, elapsedMs: 2000 };
      assert.deepEqual([end.audit, end.done, end.finished], [true, 1024 ** 2, finished]);
      assert.ok(next?.type === 'start' && next.scope === 'disk');
      assert.ok(
        lines()
          .slice(7)
          .every((line) => !('audit' in line)),
      );
    });

    it('leaves progress out with --no-progress, and more with -q', async () => {
      await program.run('--json --no-progress --hypervisor test a');
      assert.ok(lines().every(({ type }) => type !== 'progress'));
      program.world.stdout.text = '';
      await program.run('--json -q --hypervisor test a');
      assert.ok(lines().every(({ type }) => type === 'summary'));
    });

    it('gives an error its exit code', async () => {
      program.world.fake.faults.set('a', new VBackupError('VB_GUEST_NOT_FOUND', 'no a', { cure: 'look' }));
      assert.equal(await program.run('--json --hypervisor test a'), 10);
      const last = lines().at(-1);
      assert.ok(last?.type === 'error');
      assert.deepEqual([last.exitCode, last.cure, last.code], [10, 'look', 'VB_GUEST_NOT_FOUND']);
    });
  });

  describe('--log-file', () => {
    it('gets everything with its time, and is appended to', async () => {
      await program.run('--hypervisor test a --log-file log -q');
      await program.run('list --log-file log');
      const log = await readFile(join(program.folder, 'log'), 'utf8');
      const lines = log.trimEnd().split('\n');
      assert.ok(lines.every((line) => /^\d{4}-\d\d-\d\dT\S+Z (start|progress|warning|summary|error) /.test(line)));
      assert.match(log, /warning +something odd \[VB_COMMIT_INCOMPLETE\]/);
      assert.match(log, /command=list/);
    });

    it('may break without breaking the work', async () => {
      assert.equal(await program.run('--hypervisor test a --log-file /dev/full'), 0);
      assert.match(
        program.world.stderr.text,
        /warning: some of the output is lost from here on: .*ENOSPC.*\[VB_NO_SPACE\]/,
      );
      assert.equal(program.world.stderr.text.match(/is lost/g)?.length, 1);
    });

    it('that cannot be opened is an error before anything is done', async () => {
      assert.equal(await program.run('--hypervisor test a --log-file /nowhere/log'), 1);
      assert.equal(program.world.fake.jobs.length, 0);
    });
  });

  describe('on a terminal', () => {
    it('tells an audit', async () => {
      program.world.stderr.isTTY = true;
      await program.run('--hypervisor test a --audit 1/4');
      assert.match(program.world.stderr.text, /xvda: audit of 1\.0 MiB of what is called unchanged, share 1 of 4\n/);
      assert.match(program.world.stderr.text, /xvda: audit 50% {2}512\.0 KiB of 1\.0 MiB/);
      assert.match(program.world.stderr.text, /xvda: 1\.0 MiB audited in 0:02, 512\.0 KiB\/s\n/);
    });

    it('draws a live line, takes it away at the end, and colours only if it may', async () => {
      program.world.stderr.isTTY = true;
      await program.run('--hypervisor test a');
      assert.match(program.world.stderr.text, /xvda: 50% {2}512\.0 MiB of 1\.0 GiB/);
      assert.ok(program.world.stderr.text.includes('\x1b[33mvbackup: warning:'));
      program.world.stderr.text = '';
      program.world.env['NO_COLOR'] = '1';
      await program.run('--hypervisor test a --no-progress');
      assert.ok(!program.world.stderr.text.includes('\x1b'));
    });
  });
});
