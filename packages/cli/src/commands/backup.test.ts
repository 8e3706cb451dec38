import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';
import { testProgram } from '../testing/program.js';

describe('vbackup', () => {
  const program = testProgram();

  describe('backup', () => {
    it('makes a missing repository and shows the result on standard output', async () => {
      assert.equal(await program.run('--hypervisor test disk-1 -r repo'), 0);
      assert.deepEqual(program.world.fake.opened, [{ location: join(program.folder, 'repo'), create: true }]);
      assert.match(
        program.world.stdout.text,
        /^1b00000000000000 {2}full \(first-backup\) of .*: 1\.0 GiB, 300\.0 MiB data, .* in .*, repository \/\S+$/m,
      );
      assert.match(program.world.stderr.text, /xvda: full \(first-backup\), 1\.0 GiB of 1\.0 GiB/);
      assert.match(program.world.stderr.text, /vbackup: warning: something odd \[VB_COMMIT_INCOMPLETE\]/);
      assert.match(program.world.stderr.text, /connected to https:\/\/host \[VB_CLEANUP_INCOMPLETE\]/);
    });

    it('hands level, compression and connections down', async () => {
      await program.run('--hypervisor test disk-1 --level inc --compress none --connections 4');
      const [job] = program.world.fake.jobs;
      assert.deepEqual([job?.level, job?.compression, job?.connections], ['inc', 'none', 4]);
      assert.equal(job?.hypervisorName, 'test');
    });

    it('takes the shares of an audit from its flag, else from the configuration', async () => {
      await program.run('--hypervisor test disk-1');
      const path = program.world.env['VBACKUP_CONFIG'] ?? '';
      await writeFile(path, `audit = "1/30"\n${await readFile(path, 'utf8')}`);
      await program.run('--hypervisor test disk-1');
      await program.run('--hypervisor test disk-1 --audit 1/1');
      assert.deepEqual(
        program.world.fake.jobs.map(({ auditShares }) => auditShares),
        [undefined, 30, 1],
      );
    });

    it('says nothing with -q when all is well', async () => {
      assert.equal(await program.run('-q --hypervisor test disk-1'), 0);
      assert.equal(program.world.stdout.text + program.world.stderr.text, '');
    });

    it('goes on with the other disks when one fails, and exits with 3', async () => {
      program.world.fake.faults.set('b', new VBackupError('VB_GUEST_NOT_FOUND', 'no disk b'));
      assert.equal(await program.run('--hypervisor test a b c'), 3);
      assert.deepEqual(
        program.world.fake.jobs.map(({ selector }) => selector),
        ['a', 'b', 'c'],
      );
      assert.match(program.world.stderr.text, /vbackup: b: no disk b \[VB_GUEST_NOT_FOUND\]/);
      assert.match(program.world.stderr.text, /2 done, 1 failed/);
    });

    it('exits with the failures’ own code when all failed alike, and with 1 when they differ', async () => {
      program.world.fake.faults.set('a', new VBackupError('VB_GUEST_NOT_FOUND', 'no a'));
      program.world.fake.faults.set('b', new VBackupError('VB_GUEST_NOT_FOUND', 'no b'));
      program.world.fake.faults.set('c', new VBackupError('VB_IO', 'no c'));
      assert.equal(await program.run('--hypervisor test a b'), 10);
      assert.equal(await program.run('--hypervisor test a c'), 1);
    });

    it('backs a disk up once that is named twice', async () => {
      await program.run('--hypervisor test a a');
      assert.equal(program.world.fake.jobs.length, 1);
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
        program.world.fake.faults.set('a', error);
        assert.equal(await program.run('--hypervisor test a'), exitCode);
        assert.match(program.world.stderr.text, text);
        assert.doesNotMatch(program.world.stderr.text, /\n +at /);
      });
    }

    it('shows the stack of a defect with -v', async () => {
      program.world.fake.faults.set('a', new TypeError('x is undefined'));
      await program.run('-v --hypervisor test a');
      assert.match(program.world.stderr.text, /\n +at /);
    });

    it('is done even if the connection does not end well', async () => {
      program.world.env['VBACKUP_TEST_URL'] = 'broken';
      assert.equal(await program.run('--hypervisor test a'), 0);
      assert.match(program.world.stderr.text, /warning: the connection to test did not end well: .*sulks/);
    });

    it('names a line a minute where there is no terminal', async () => {
      program.world.fake.during = ({ onEvent }) => {
        for (let at = 0; at < 300; at++) {
          program.world.time += 1000;
          onEvent?.({ type: 'progress', disk: 'xvda', done: at * 2 ** 20, planned: 2 ** 30 });
        }
      };
      await program.run('--hypervisor test a');
      const lines = program.world.stderr.lines.filter((line) => line.includes(' left'));
      assert.equal(lines.length, 5);
      assert.match(lines[4] ?? '', /^xvda: \d+% {2}\d+\.\d MiB of 1\.0 GiB {2}1\.0 MiB\/s {2}\d+:\d\d left$/);
    });
  });
});
