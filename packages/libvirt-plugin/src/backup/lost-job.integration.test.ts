import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectPlugin, type Hypervisor, registerPlugin, type Warning } from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { type LabDomain, LIBVIRT_LAB_TOOLS, type LibvirtLab, startLibvirtLab } from '@vbackup/lab';
import { container } from 'tsyringe';
import { checkpointName, makeUlid } from '../checkpoint/index.js';
import { libvirtPlugin } from '../plugin.js';
import { MemoryJournal, REPOSITORY, request } from '../testing/fixture.js';

const BLOCK = 65_536;

describe('a backup job that a killed libvirtd lost', function () {
  this.timeout(120_000);
  let lab: LibvirtLab;
  let domain: LabDomain;
  let hypervisor: Hypervisor;
  const warnings: string[] = [];

  before(async function () {
    this.timeout(300_000);
    requireTools(this, LIBVIRT_LAB_TOOLS);
    lab = await startLibvirtLab();
    const disks = [{ target: 'vda', size: 128 * BLOCK }];
    domain = await lab.define({ name: 'lost', guest: 'seabios', withoutAgentChannel: true, monitor: true, disks });
    await domain.start();
    const own = container.createChildContainer();
    registerPlugin(libvirtPlugin, own);
    const raw = { uri: lab.uri, scratch: lab.images, 'socket-folder': lab.images, repair: lab.repairProgram };
    const onWarning = ({ code }: Warning): void => void warnings.push(code);
    hypervisor = await connectPlugin(libvirtPlugin, raw, { container: own, onWarning });
  });
  after(async () => {
    await hypervisor?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });
  beforeEach(() => warnings.splice(0));

  /** What QEMU has of backups: names of images, jobs, exports and bitmaps. */
  const left = async (): Promise<readonly string[]> => {
    await using monitor = await domain.monitor();
    const told = ['query-named-block-nodes', 'query-jobs', 'query-block-exports'].map((each) => monitor.execute(each));
    return [
      ...JSON.stringify(await Promise.all(told)).matchAll(/"(?:[^"]*\/)?((?:vbackup|backup|libvirt-nbd)-[^"]*)"/g),
    ].map(([, name = '']) => name);
  };

  it('is forgotten by libvirt and by QEMU in the next run, which makes its backup', async () => {
    const found = await hypervisor.find('lost');
    const pid = await domain.pid();
    const journal = new MemoryJournal();
    const dead = hypervisor.snapshot(found, request({ journal }));
    const failed = assert.rejects(dead);
    // QEMU is slow, so that it does not get far with the job; the daemon waits for its answer when it dies.
    for (;;) {
      process.kill(pid, 'SIGSTOP');
      await delay(10);
      if ((await readdir(lab.images)).some((file) => file.endsWith('.scratch'))) break;
      process.kill(pid, 'SIGCONT');
      await delay(1);
    }
    await delay(50);
    await lab.signalDaemon('SIGKILL');
    process.kill(pid, 'SIGCONT');
    await failed;
    await lab.startDaemon();
    assert.match(await lab.virsh('domjobinfo', 'lost').catch(String), /backup job data missing/);
    await hypervisor.recover({ backupId: 'fedcba9876543210', entries: journal.entries, committed: false });
    await using snapshot = await hypervisor.snapshot(found, request());
    assert.ok(warnings.includes('VB_LIBVIRT_REPAIRED'));
    await snapshot.commit();
    const checkpoint = (await lab.virsh('checkpoint-list', 'lost', '--name')).trim();
    assert.deepEqual(await left(), [checkpoint]);
    assert.deepEqual(
      (await readdir(lab.images)).filter((file) => file.startsWith('vbackup-')),
      [],
    );
  });

  it('is ended in QEMU with its server, its images and its bitmap, and nothing else is', async () => {
    const before = await left();
    const name = checkpointName(REPOSITORY, makeUlid());
    const [scratch, socket] = [join(lab.images, `${name}.vda.scratch`), join(lab.images, `${name}.sock`)];
    await using monitor = await domain.monitor();
    // As libvirt begins a job, up to its last command.
    const nodes: unknown = await monitor.execute('query-named-block-nodes', { flat: true });
    const disk = /"node-name":"(libvirt-\d+-format)"/.exec(JSON.stringify(nodes))?.[1] ?? assert.fail();
    const open = (driver: string, more: Readonly<Record<string, unknown>>): Promise<unknown> =>
      monitor.execute('blockdev-add', { driver, ...more });
    const created = async (id: string, options: Readonly<Record<string, unknown>>): Promise<void> => {
      await monitor.execute('blockdev-create', { 'job-id': id, options });
      while (!JSON.stringify(await monitor.execute('query-jobs')).includes('concluded')) await delay(10);
    };
    await created('create-libvirt-90-storage', { driver: 'file', filename: scratch, size: 0 });
    await open('file', { 'node-name': 'libvirt-90-storage', filename: scratch });
    await monitor.execute('job-dismiss', { id: 'create-libvirt-90-storage' });
    await created('create-libvirt-90-format', { driver: 'qcow2', file: 'libvirt-90-storage', size: 128 * BLOCK });
    await open('qcow2', { 'node-name': 'libvirt-90-format', file: 'libvirt-90-storage', backing: disk });
    await monitor.execute('nbd-server-start', { addr: { type: 'unix', data: { path: socket } } });
    await monitor.execute('transaction', {
      actions: [
        { type: 'block-dirty-bitmap-add', data: { node: disk, name, persistent: true } },
        {
          type: 'blockdev-backup',
          data: {
            device: disk,
            'job-id': `backup-vda-${disk}`,
            target: 'libvirt-90-format',
            sync: 'none',
            'auto-finalize': true,
            'auto-dismiss': false,
          },
        },
      ],
    });
    const export_ = { type: 'nbd', id: 'libvirt-nbd-libvirt-90-format', 'node-name': 'libvirt-90-format', name: 'vda' };
    await monitor.execute('block-export-add', export_);
    await monitor[Symbol.asyncDispose]();

    const owner = { repositoryId: REPOSITORY, guestId: domain.uuid };
    const entry = {
      step: 'job',
      domain: domain.uuid,
      socket,
      scratches: [scratch],
      checkpoint: name,
      keep: true,
      owner,
    };
    await hypervisor.recover({ backupId: 'fedcba9876543210', entries: [entry], committed: false });
    assert.deepEqual([await left(), warnings], [before, ['VB_LIBVIRT_JOB_ENDED']]);
    assert.deepEqual(
      (await readdir(lab.images)).filter((file) => file.startsWith('vbackup-')),
      [],
    );
    assert.equal(await domain.state(), 'running');
    await using snapshot = await hypervisor.snapshot(await hypervisor.find('lost'), request());
    await snapshot.commit();
  });
});
