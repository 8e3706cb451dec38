import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { JsonObject } from '@vbackup/core';
import { VBackupError } from '@vbackup/core';
import { libvirtError } from '../connection/index.js';
import { Fixture, MemoryJournal, request } from '../testing/fixture.js';

describe('a backup job that libvirt lost', () => {
  let fixture: Fixture;
  let server: Server | null = null;
  beforeEach(async () => {
    fixture = await Fixture.make();
  });
  afterEach(async () => {
    server?.close();
    server = null;
    await fixture[Symbol.asyncDispose]();
  });

  /** A run in which the daemon is killed while the job begins. @returns its journal */
  const die = async (): Promise<readonly JsonObject[]> => {
    const journal = new MemoryJournal();
    const cause = libvirtError('beginBackup', {
      code: 39,
      domain: 7,
      message: 'Cannot recv data: Connection reset by peer',
    });
    fixture.libvirt.fail('beginBackup', cause);
    await assert.rejects(fixture.hypervisor().snapshot(fixture.guest, request({ journal })));
    return journal.entries;
  };
  const recover = (entries: readonly JsonObject[]): Promise<void> =>
    fixture.hypervisor().recover({ backupId: 'fedcba9876543210', entries, committed: false });
  const jobOf = (
    entries: readonly JsonObject[],
  ): { readonly socket: string; readonly scratch: string; readonly name: string } => {
    const { socket, scratches, checkpoint } = entries.at(-1) ?? {};
    const [scratch] = Array.isArray(scratches) ? scratches : [];
    assert.ok(typeof socket === 'string' && typeof scratch === 'string' && typeof checkpoint === 'string');
    return { socket, scratch, name: checkpoint };
  };
  const codes = (): readonly string[] => fixture.warnings.map(({ code }) => code);
  const monitored = (): number => fixture.libvirt.calls.filter((call) => call.startsWith('monitor')).length;

  it('is ended in QEMU, with all that hangs on it, and its checkpoint', async () => {
    const entries = await die();
    const { socket, scratch, name } = jobOf(entries);
    server = createServer().listen(socket);
    const { qemu } = fixture.domain;
    qemu.serving = true;
    qemu.nodes = [
      { name: 'libvirt-1-format', file: '/nowhere/a.qcow2', bitmaps: ['older', name] },
      { name: 'libvirt-7-storage', file: scratch, parent: 'libvirt-7-format', bitmaps: [] },
      { name: 'libvirt-7-format', file: scratch, bitmaps: ['backup-vda'] },
    ];
    qemu.jobs = [{ id: 'backup-vda-libvirt-1-format', type: 'backup', status: 'running' }];
    qemu.exports = [{ id: 'libvirt-nbd-libvirt-7-format', node: 'libvirt-7-format' }];
    await recover(entries);
    assert.deepEqual(qemu.nodes, [{ name: 'libvirt-1-format', file: '/nowhere/a.qcow2', bitmaps: ['older'] }]);
    assert.deepEqual([qemu.jobs, qemu.exports, qemu.serving], [[], [], false]);
    assert.deepEqual(codes(), ['VB_LIBVIRT_JOB_ENDED']);
    const before = qemu.executed.length;
    await recover(entries);
    assert.equal(qemu.executed.length, before, 'nothing is left to be done');
  });

  it('is not looked for while it begins: the run that asked for it may have died, and libvirt goes on', async () => {
    const entries = await die();
    const { scratch, socket } = jobOf(entries);
    const { domain } = fixture;
    domain.qemu.nodes = [{ name: 'libvirt-7-storage', file: scratch, bitmaps: [] }];
    let times = 3;
    domain.unknownJob = () => {
      times -= 1;
      if (times === 0)
        domain.job = { xml: `<domainbackup><server transport='unix' socket='${socket}'/></domainbackup>` };
      return times > 0;
    };
    fixture.libvirt.calls.length = 0;
    await recover(entries);
    const [first] = fixture.libvirt.calls.filter((call) => /^(abortJob|monitor)/.test(call));
    assert.deepEqual([first, domain.job], ['abortJob web', null]);
  });

  it('leaves a server alone that does not listen at its socket', async () => {
    const entries = await die();
    fixture.domain.qemu.serving = true;
    await recover(entries);
    assert.deepEqual([fixture.domain.qemu.serving, codes()], [true, []]);
  });

  it('is not looked for where libvirt answered: that the job runs, or why it does not', async () => {
    const journal = new MemoryJournal();
    await fixture.hypervisor().snapshot(fixture.guest, request({ journal }));
    await recover(journal.entries);
    const refused = new MemoryJournal();
    fixture.libvirt.fail('beginBackup', 1);
    await assert.rejects(fixture.hypervisor().snapshot(fixture.guest, request({ journal: refused })));
    await recover(refused.entries);
    assert.equal(monitored(), 0);
    assert.deepEqual(
      [journal, refused].map(({ entries }) => entries.map(({ step }) => step)),
      [
        ['job', 'answered'],
        ['job', 'answered'],
      ],
    );
  });

  for (const error of [
    new VBackupError('VB_LIBVIRT_LIBRARY_MISSING', 'libvirt-qemu.so.0 is not there'),
    libvirtError('monitor', { code: 88, domain: 0, message: 'access denied' }),
  ]) {
    it(`is left to whoever can end it where QEMU cannot be asked (${error.code})`, async () => {
      const entries = await die();
      fixture.libvirt.fail('monitor', error);
      await recover(entries);
      assert.deepEqual([monitored(), codes()], [1, []]);
    });
  }

  it('is repaired by the program that is named for it, and the backup goes on', async () => {
    const [program, told] = [join(fixture.folder, 'repair'), join(fixture.folder, 'told')];
    await writeFile(program, `#!/bin/sh\necho "$@" > ${told}\n`);
    await chmod(program, 0o755);
    fixture.domain.unknownJob = () => !existsSync(told);
    await using snapshot = await fixture.hypervisor({ repair: program }).snapshot(fixture.guest, request());
    assert.equal(snapshot.disks.length, 2);
    assert.deepEqual(codes(), ['VB_LIBVIRT_REPAIRED']);
    assert.equal(await readFile(told, 'utf8'), `web ${fixture.domain.facts.uuid}\n`);
  });

  it('is an error where the program fails, and its cure is that program', async () => {
    fixture.domain.unknownJob = () => true;
    const run = fixture.hypervisor({ repair: '/bin/false' }).snapshot(fixture.guest, request());
    await assert.rejects(run, { code: 'VB_LIBVIRT_REPAIR', cure: 'run it by hand: /bin/false web' });
    assert.equal(fixture.domain.job, null);
  });
});
