import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connectPlugin, type Hypervisor, registerPlugin } from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { LIBVIRT_LAB_TOOLS, type LibvirtLab, makeAuthority, startLibvirtLab, writePkiFolder } from '@vbackup/lab';
import { container } from 'tsyringe';
import { libvirtPlugin } from '../plugin.js';
import { MemoryJournal, request } from '../testing/fixture.js';
import { ModelGuest } from '../testing/model-guest.js';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const SIZES = { vda: 8 * MIB, vdb: 2 * MIB } as const;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await server[Symbol.asyncDispose]();
  return typeof address === 'object' && address !== null ? address.port : assert.fail('no port');
}

describe('backups of a guest on another host', function () {
  this.timeout(120_000);
  let lab: LibvirtLab;
  let guest: ModelGuest;
  let hypervisor: Hypervisor;
  let port = 0;
  let other = '';

  /** The lab's daemon over TLS: its URI leads, as far as anyone can see, to another machine. */
  const connect = (options: Readonly<Record<string, unknown>>): Promise<Hypervisor> => {
    const own = container.createChildContainer();
    registerPlugin(libvirtPlugin, own);
    const raw = { uri: lab.tlsUri(), scratch: lab.images, 'nbd-port': port, ...options };
    return connectPlugin(libvirtPlugin, raw, { container: own });
  };
  const checkpoints = async (): Promise<readonly string[]> =>
    (await lab.virsh('checkpoint-list', 'web', '--name')).split('\n').filter((line) => line !== '');
  const assertIdle = async (): Promise<void> => {
    const left = (await readdir(lab.images)).filter((name) => name.startsWith('vbackup-'));
    assert.deepEqual([left, await guest.domain.state()], [[], 'running']);
    assert.match(await lab.virsh('domjobinfo', 'web'), /None/);
  };

  before(async function () {
    this.timeout(300_000);
    requireTools(this, [...LIBVIRT_LAB_TOOLS, 'qemu-io']);
    lab = await startLibvirtLab();
    port = await freePort();
    const domain = await lab.define({
      name: 'web',
      guest: 'seabios',
      withoutAgentChannel: true,
      disks: [
        { target: 'vda', size: SIZES.vda },
        { target: 'vdb', size: SIZES.vdb, format: 'raw' },
      ],
    });
    guest = new ModelGuest(domain, lab.folder, SIZES);
    await domain.start();
    other = join(lab.folder, 'other');
    await writePkiFolder(other, await makeAuthority({ name: 'another authority', keyType: 'ec' }));
    hypervisor = await connect({ 'nbd-tls-certificates': lab.pki });
  });
  after(async () => {
    await hypervisor?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });

  it('are full, then increments, over TCP with certificates on both sides', async () => {
    await guest.write('vda', MIB, 2 * MIB, 0xaa);
    await guest.write('vdb', 0, 64 * KIB, 0xbb);
    const full = await guest.backUp(hypervisor);
    await guest.assertRestores(full, guest.copy());
    const [base] = await checkpoints();
    await guest.write('vda', 5 * MIB, 64 * KIB, 0x11);
    await guest.zero('vda', 'write -z', MIB, 128 * KIB);
    const increment = await guest.backUp(hypervisor);
    assert.deepEqual(
      increment.disks.map(({ level, method }) => `${level} ${method}`),
      ['inc dirty-bitmap', 'inc compare'],
    );
    await guest.assertRestores(increment, guest.copy());
    const after = await checkpoints();
    assert.deepEqual([full.level, after.length, after.includes(base ?? '')], ['full', 1, false]);
    await assertIdle();
  });

  /** The lab's credentials, but for those of another authority. */
  const mixed = async (name: string, files: readonly string[]): Promise<string> => {
    const folder = join(lab.folder, name);
    await mkdir(folder);
    for (const file of ['ca-cert.pem', 'client-cert.pem', 'client-key.pem']) {
      await cp(join(files.includes(file) ? other : lab.pki, file), join(folder, file));
    }
    return folder;
  };
  const CASES = [
    ['of the server: another authority is trusted here', ['ca-cert.pem'], {}, 'VB_NBD_CERTIFICATE'],
    ['of the server: it names another host', [], { 'nbd-host': '127.0.0.2' }, 'VB_NBD_CERTIFICATE'],
    ['of the client: another authority made it', ['client-cert.pem', 'client-key.pem'], {}, 'VB_NBD_TLS'],
  ] as const;
  for (const [what, files, options, code] of CASES) {
    it(`fail with a wrong certificate ${what}, and leave nothing`, async () => {
      const before = await checkpoints();
      const folder = await mixed(code + files.length, files);
      await using wrong = await connect({ 'nbd-tls-certificates': folder, ...options });
      await assert.rejects(guest.backUp(wrong), { code });
      assert.deepEqual(await checkpoints(), before);
      await assertIdle();
      await rm(folder, { recursive: true });
    });
  }
  it('fail without a certificate of the client, and leave nothing', async () => {
    const folder = await mixed('none', []);
    for (const file of ['client-cert.pem', 'client-key.pem']) await rm(join(folder, file));
    await using wrong = await connect({ 'nbd-tls-certificates': folder });
    await assert.rejects(guest.backUp(wrong), { code: 'VB_NBD_TLS' });
    await assertIdle();
  });

  it('are never read in clear text unless that is wanted', async () => {
    await using bare = await connect({});
    await assert.rejects(guest.backUp(bare), { code: 'VB_LIBVIRT_REMOTE' });
    await assertIdle();
    await using insecure = await connect({ 'nbd-insecure': true });
    await guest.write('vda', 0, 512, 0x21);
    const increment = await guest.backUp(insecure);
    assert.equal(increment.level, 'inc');
    await guest.assertRestores(increment, guest.copy());
  });

  it('are undone after a death, and the job of a dead run is ended by the next one', async () => {
    const before = await checkpoints();
    const journal = new MemoryJournal();
    const found = await hypervisor.find('web');
    // As if it died: the job goes on, and nobody disposes of it.
    await hypervisor.snapshot(found, request({ journal }));
    assert.equal((await checkpoints()).length, 2);
    await hypervisor.recover({ backupId: 'fedcba9876543210', entries: journal.entries, committed: false });
    assert.deepEqual(await checkpoints(), before);
    await assertIdle();
    await hypervisor.snapshot(found, request({ keepCheckpoint: false }));
    const second = await hypervisor.snapshot(found, request({ keepCheckpoint: false }));
    await second[Symbol.asyncDispose]();
    await assertIdle();
  });

  it('are refused where the guest is off', async () => {
    await guest.domain.destroy({ graceful: true });
    await assert.rejects(guest.backUp(hypervisor), { code: 'VB_LIBVIRT_NOT_RUNNING' });
  });
});
