import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { requireTools, skipEverywhere } from '@vbackup/core/testing';
import { type LabDomain, LIBVIRT_GUEST_TOOLS, LIBVIRT_LAB_TOOLS, type LibvirtLab, startLibvirtLab } from './index.js';
import { processesNaming } from './processes.js';
import { run } from './program.js';

describe('the libvirt lab', () => {
  let lab: LibvirtLab;
  let domain: LabDomain;

  before(async function () {
    this.timeout(600_000);
    requireTools(this, [...LIBVIRT_LAB_TOOLS, ...LIBVIRT_GUEST_TOOLS, 'nbdinfo']);
    lab = await startLibvirtLab();
    domain = await lab.define();
    await domain.start();
    await domain.waitForAgent();
  });

  after(async function () {
    this.timeout(60_000);
    await lab?.[Symbol.asyncDispose]();
  });

  it('has a guest that answers through its agent, and file systems that can be frozen', async () => {
    assert.match(await domain.run('/bin/cat', '/proc/mounts'), /^\/dev\/vda \/mnt ext4 /m);
    await assert.rejects(domain.run('/bin/sh', '-c', 'echo reason >&2; false'), /reason/);
    await lab.virsh('domfsfreeze', domain.name);
    assert.equal(await domain.agent('guest-fsfreeze-status'), 'frozen');
    await lab.virsh('domfsthaw', domain.name);
    assert.equal(await domain.agent('guest-fsfreeze-status'), 'thawed');
  });

  it('answers over TLS, and only to certificates of its authority', async () => {
    assert.match(await run('virsh', ['-q', '-c', lab.tlsUri(), 'list', '--name']), /vbtest/);
    await assert.rejects(run('virsh', ['-q', '-c', lab.tlsUri(join(lab.folder, 'nothing')), 'list']), /certificate/);
  });

  it('shows dirty blocks to an incremental pull backup', async function () {
    this.timeout(60_000);
    await beginBackup({ checkpoint: 'c1' });
    await lab.virsh('domjobabort', domain.name);
    await domain.dirty('vdb', 'write -P 0xcc 31M 1M');
    await domain.dirty('vdb', 'read -P 0xcc 31M 1M');
    await assert.rejects(domain.dirty('vdb', 'read -P 0xcd 31M 1M'), /Pattern verification failed/);
    const socket = await beginBackup({ checkpoint: 'c2', since: 'c1' });
    const uri = `nbd+unix:///vdb?socket=${socket}`;
    const map: unknown = JSON.parse(await run('nbdinfo', ['--json', '--map=qemu:dirty-bitmap:backup-vdb', uri]));
    assert.deepEqual(map, [
      { offset: 0, length: 31 * 1024 * 1024, type: 0, description: 'clean' },
      { offset: 31 * 1024 * 1024, length: 1024 * 1024, type: 1, description: 'dirty' },
    ]);
    await lab.virsh('domjobabort', domain.name);
  });

  it('survives the death of its daemon, and sees the death of a QEMU', async function () {
    this.timeout(60_000);
    const pid = await domain.pid();
    await lab.signalDaemon('SIGKILL');
    await assert.rejects(lab.virsh('list'));
    await lab.startDaemon();
    assert.equal(await domain.state(), 'running');
    assert.equal(await domain.pid(), pid);
    await domain.kill();
    await domain.start();
    assert.equal(await domain.state(), 'running');
  });

  for (const mode of ['system', 'user'] as const) {
    it(`leaves nothing behind in mode ${mode}, with a second lab beside it`, async function () {
      this.timeout(120_000);
      if (mode === 'system' && lab.smallFolder === null) skipEverywhere(this, 'only root may make namespaces');
      const other = await startLibvirtLab({ mode });
      try {
        const small = await other.define({ guest: 'seabios', disks: [{ target: 'vda', size: 1024 * 1024 }] });
        await small.start();
        await small.dirty('vda', 'write -P 0x11 0 64k');
        assert.ok((await small.pid()) !== (await domain.pid()));
        await other.signalDaemon('SIGSTOP');
      } finally {
        await other[Symbol.asyncDispose]();
      }
      assert.deepEqual(await processesNaming(other.folder), []);
      assert.equal(existsSync(other.folder), false);
      assert.doesNotMatch(await readFile('/proc/self/mountinfo', 'utf8'), /libvirt|vb-lv-/);
    });
  }

  it('ends with the process that started it, however that dies', async function () {
    this.timeout(120_000);
    if (lab.smallFolder !== null) await diesWithItsStarter('system');
    await diesWithItsStarter('user');
  });

  async function diesWithItsStarter(mode: 'system' | 'user'): Promise<void> {
    const module = new URL('./index.js', import.meta.url).href;
    const script = `
      const { startLibvirtLab } = await import(${JSON.stringify(module)});
      const lab = await startLibvirtLab({ mode: '${mode}' });
      const domain = await lab.define({ guest: 'seabios', disks: [{ target: 'vda' }] });
      await domain.start();
      process.stdout.write(lab.folder);
      setInterval(() => undefined, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [output]: unknown[] = await once(child.stdout, 'data');
    const folder = String(output);
    try {
      const running = await processesNaming(`${folder}/`);
      assert.ok(running.some(({ program }) => program.startsWith('qemu-system')));
    } finally {
      child.kill('SIGKILL');
      while ((await processesNaming(`${folder}/`)).length > 0) await delay(20);
      await rm(folder, { recursive: true });
    }
  }

  async function beginBackup(names: { readonly checkpoint: string; readonly since?: string }): Promise<string> {
    const socket = join(lab.images, `${names.checkpoint}.sock`);
    const scratch = join(lab.images, `${names.checkpoint}.scratch`);
    const since = names.since === undefined ? '' : `<incremental>${names.since}</incremental>`;
    const disks = `<disks><disk name='vda' backup='no'/><disk name='vdb'><scratch file='${scratch}'/></disk></disks>`;
    const backup = join(lab.folder, 'backup.xml');
    const checkpoint = join(lab.folder, 'checkpoint.xml');
    await writeFile(
      backup,
      `<domainbackup mode='pull'>${since}<server transport='unix' socket='${socket}'/>${disks}</domainbackup>`,
    );
    await writeFile(
      checkpoint,
      `<domaincheckpoint><name>${names.checkpoint}</name>\
<disks><disk name='vda' checkpoint='no'/><disk name='vdb' checkpoint='bitmap'/></disks></domaincheckpoint>`,
    );
    await lab.virsh('backup-begin', domain.name, backup, checkpoint);
    return socket;
  }
});
