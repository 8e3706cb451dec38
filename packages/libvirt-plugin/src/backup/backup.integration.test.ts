import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectPlugin, type Guest, type Hypervisor, registerPlugin, type Warning } from '@vbackup/core';
import { requireTools, skipEverywhere } from '@vbackup/core/testing';
import { type LabDomain, LIBVIRT_GUEST_TOOLS, LIBVIRT_LAB_TOOLS, type LibvirtLab, startLibvirtLab } from '@vbackup/lab';
import { container } from 'tsyringe';
import { libvirtPlugin } from '../plugin.js';
import { MemoryJournal, request } from '../testing/fixture.js';

describe('a backup of a guest with an agent', function () {
  this.timeout(120_000);
  let lab: LibvirtLab;
  let domain: LabDomain;
  let hypervisor: Hypervisor;
  let guest: Guest;
  const warnings: Warning[] = [];

  const connect = async (options: Readonly<Record<string, unknown>>): Promise<Hypervisor> => {
    const own = container.createChildContainer();
    registerPlugin(libvirtPlugin, own);
    const raw = { uri: lab.uri, scratch: lab.images, 'socket-folder': lab.images, ...options };
    return connectPlugin(libvirtPlugin, raw, { container: own, onWarning: (warning) => warnings.push(warning) });
  };
  const eventually = async (what: string, question: () => Promise<boolean>): Promise<void> => {
    const deadline = AbortSignal.timeout(60_000);
    while (!(await question())) {
      assert.equal(deadline.aborted, false, `waited in vain until ${what}`);
      await delay(100);
    }
  };
  const frozen = (): Promise<unknown> => domain.agent('guest-fsfreeze-status');
  const write = (from: string): readonly string[] => [
    `if=${from}`,
    'of=/mnt/big',
    'bs=64k',
    'count=64',
    'conv=notrunc,fsync',
  ];

  before(async function () {
    this.timeout(600_000);
    requireTools(this, [...LIBVIRT_LAB_TOOLS, ...LIBVIRT_GUEST_TOOLS]);
    lab = await startLibvirtLab();
    domain = await lab.define({ name: 'guest' });
    await domain.start();
    await domain.waitForAgent();
    hypervisor = await connect({ freeze: true });
    guest = await hypervisor.find('guest');
  });
  after(async () => {
    await hypervisor?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });
  afterEach(() => assert.deepEqual(warnings, []));

  it('freezes the file systems, and thaws them as soon as the job has begun', async () => {
    await domain.run('/bin/dd', ...write('/dev/urandom'));
    const journal = new MemoryJournal();
    await using snapshot = await hypervisor.snapshot(guest, request({ journal }));
    assert.deepEqual(
      journal.entries.map(({ step }) => step),
      ['freeze', 'job', 'thawed', 'answered'],
    );
    assert.equal(await frozen(), 'thawed');
    // The superblock of an ext4 that was frozen needs no recovery: bit 2 of s_feature_incompat (offset 96) is off.
    const [disk] = snapshot.disks;
    assert.ok(disk);
    await using reader = await disk.open({ connections: 2 });
    const superblock = Buffer.alloc(1024);
    await reader.read(1024, superblock);
    assert.equal(superblock.readUInt16LE(56), 0xef53, 'there is an ext4 on vda');
    assert.equal(Math.floor(superblock.readUInt32LE(96) / 4) % 2, 0, 'its journal needs no recovery');
  });

  it('freezes only the mount points that are named', async () => {
    await using one = await connect({ 'freeze-mountpoints': '/mnt' });
    await using snapshot = await one.snapshot(guest, request());
    assert.equal(snapshot.disks.length, 2);
    assert.equal(await frozen(), 'thawed');
  });

  it('thaws a guest whose run died while it was frozen', async () => {
    await domain.agent('guest-fsfreeze-freeze');
    assert.equal(await frozen(), 'frozen');
    const entries = [{ step: 'freeze', domain: domain.uuid }];
    await hypervisor.recover({ backupId: 'fedcba9876543210', entries, committed: false });
    assert.equal(await frozen(), 'thawed');
  });

  it('is thawed when vbackup is killed, before any other run', async () => {
    const program = fileURLToPath(new URL('../testing/freezer.js', import.meta.url));
    const child = spawn(process.execPath, [program, lab.uri, domain.uuid], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    assert.equal(await frozen(), 'frozen');
    child.kill('SIGKILL');
    await eventually('the guest is thawed', async () => (await frozen()) === 'thawed');
  });

  it('thaws a guest whose agent slept through the freeze', async () => {
    const nap = 'kill -STOP $(cat /run/qga.pid); sleep 14; kill -CONT $(cat /run/qga.pid)';
    await domain.agent('guest-exec', { path: '/bin/sh', arg: ['-c', nap] });
    await delay(1000);
    await assert.rejects(hypervisor.snapshot(guest, request()), { code: 'VB_LIBVIRT_AGENT_UNRESPONSIVE' });
    await domain.waitForAgent();
    assert.equal(await frozen(), 'thawed');
  });

  it('ends the job of a guest whose scratch file is full, and the guest goes on', async function () {
    if (lab.smallFolder === null) return skipEverywhere(this, 'the lab may not mount');
    await domain.run('/bin/dd', ...write('/dev/urandom'));
    await using narrow = await connect({ scratch: lab.smallFolder });
    await using snapshot = await narrow.snapshot(guest, request());
    await domain.agent('guest-exec', { path: '/bin/dd', arg: write('/dev/zero') });
    await eventually('the job is ended', async () => /None/.test(await lab.virsh('domjobinfo', 'guest')));
    await eventually('the guest runs', async () => (await domain.state()) === 'running');
    await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_LIBVIRT_SCRATCH_FULL' });
    const [disk] = snapshot.disks;
    await assert.rejects(async () => disk?.open({ connections: 1 }), { code: 'VB_LIBVIRT_SCRATCH_FULL' });
    await snapshot[Symbol.asyncDispose]();
    await domain.run('/bin/sync');
    assert.deepEqual(
      [await domain.state(), (await lab.virsh('checkpoint-list', 'guest', '--name')).trim()],
      ['running', ''],
    );
  });

  it('is read to its end while the daemon is killed and started again', async () => {
    await using snapshot = await hypervisor.snapshot(guest, request());
    await lab.signalDaemon('SIGKILL');
    const [disk] = snapshot.disks;
    assert.ok(disk);
    await using reader = await disk.open({ connections: 1 });
    await reader.read(0, Buffer.alloc(65_536));
    await lab.startDaemon();
    await snapshot.confirm?.();
    await snapshot.commit();
    assert.equal((await lab.virsh('checkpoint-list', 'guest', '--name')).trim().split('\n').length, 1);
  });
});
