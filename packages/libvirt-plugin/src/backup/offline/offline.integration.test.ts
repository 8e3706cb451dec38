import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connectPlugin, type Hypervisor, type Manifest, registerPlugin, type Warning } from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { LIBVIRT_LAB_TOOLS, type LibvirtLab, startLibvirtLab } from '@vbackup/lab';
import { container } from 'tsyringe';
import * as v from 'valibot';
import { libvirtPlugin } from '../../plugin.js';
import { MemoryJournal, request } from '../../testing/fixture.js';
import { ModelGuest } from '../../testing/model-guest.js';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const SIZES = { vda: 16 * MIB, vdb: 4 * MIB, vdc: 8 * MIB } as const;

describe('backups of a guest that is off', function () {
  this.timeout(120_000);
  let lab: LibvirtLab;
  let guest: ModelGuest;
  let hypervisor: Hypervisor;
  const warnings: Warning[] = [];

  const checkpoints = async (): Promise<readonly string[]> =>
    (await lab.virsh('checkpoint-list', guest.domain.name, '--name')).split('\n').filter((line) => line !== '');
  const methods = ({ disks }: Manifest): readonly string[] => disks.map(({ name, method }) => `${name} ${method}`);
  /** One checkpoint, one bitmap per image; that no server is left the next write with qemu-io shows. */
  const assertClean = async (): Promise<void> => {
    const names = await checkpoints();
    assert.equal(names.length, 1);
    for (const target of ['vda', 'vdc']) assert.deepEqual(await guest.bitmaps(target), names);
  };
  const backUp = async (expected: string, level?: 'diff' | 'copy' | 'full'): Promise<Manifest> => {
    const manifest = await guest.backUp(hypervisor, level === undefined ? {} : { level });
    assert.equal(manifest.level, expected);
    await guest.assertRestores(manifest, guest.copy());
    return manifest;
  };

  before(async function () {
    this.timeout(300_000);
    requireTools(this, [...LIBVIRT_LAB_TOOLS, 'qemu-nbd', 'qemu-io']);
    lab = await startLibvirtLab();
    const domain = await lab.define({
      name: 'web',
      guest: 'seabios',
      withoutAgentChannel: true,
      disks: [
        { target: 'vda', size: SIZES.vda },
        { target: 'vdb', size: SIZES.vdb, format: 'raw' },
        { target: 'vdc', size: SIZES.vdc, createOptions: 'cluster_size=4096' },
      ],
    });
    guest = new ModelGuest(domain, lab.folder, SIZES);
    const own = container.createChildContainer();
    registerPlugin(libvirtPlugin, own);
    const raw = { uri: lab.uri, scratch: lab.images, 'socket-folder': lab.images };
    const onWarning = (warning: Warning): void => void warnings.push(warning);
    hypervisor = await connectPlugin(libvirtPlugin, raw, { container: own, onWarning });
  });
  after(async () => {
    await hypervisor?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    warnings.length = 0;
  });

  it('stand on each other, whether the guest was on or off, and come back byte for byte', async () => {
    await guest.write('vda', MIB, 2 * MIB, 0xaa);
    await guest.write('vdb', 64 * KIB, 256 * KIB, 0xbb);
    await guest.write('vdc', 5 * MIB, MIB, 0xcc);
    const full = await backUp('full');
    assert.equal(full.reason, 'first-backup');
    await assertClean();

    // Off, then off again.
    await guest.write('vda', 8 * MIB + 512, 512, 0x11);
    await guest.zero('vda', 'write -z', MIB + 64 * KIB, 128 * KIB);
    await guest.zero('vdc', 'discard', 5 * MIB + 4 * KIB, 8 * KIB);
    await guest.write('vdb', MIB, KIB, 0x12);
    const off = await backUp('inc');
    assert.deepEqual(methods(off), ['vda dirty-bitmap', 'vdb compare', 'vdc dirty-bitmap']);
    await assertClean();

    // Off, then on.
    await guest.domain.start();
    await guest.write('vda', 9 * MIB, 64 * KIB, 0x21);
    await guest.write('vdc', 4 * KIB, 4 * KIB, 0x22);
    const on = await backUp('inc');
    assert.deepEqual(methods(on), methods(off));
    const afterOn = guest.copy();

    // On, then off.
    await guest.write('vda', 10 * MIB, 64 * KIB, 0x31);
    await guest.zero('vdc', 'discard', 0, 64 * KIB);
    await guest.domain.destroy({ graceful: true });
    await guest.write('vdb', 0, 512, 0x32);
    const offAgain = await backUp('inc');
    assert.deepEqual(methods(offAgain), methods(off));
    await assertClean();
    await guest.assertRestores(on, afterOn);

    // A differential and a copy move nothing.
    await guest.write('vda', 11 * MIB, 64 * KIB, 0x41);
    const base = await checkpoints();
    await backUp('diff', 'diff');
    await backUp('copy', 'copy');
    assert.deepEqual(await checkpoints(), base);
    await guest.write('vdc', 7 * MIB, 4 * KIB, 0x42);
    assert.deepEqual(methods(await backUp('inc')), methods(off));
    await assertClean();
    assert.deepEqual(warnings, []);
  });

  it('keep the guest from being started while its images are read, and say so', async () => {
    const { id, name } = await hypervisor.find('web');
    const snapshot = await hypervisor.snapshot({ id, name, kind: 'machine' }, request({ keepCheckpoint: false }));
    await assert.rejects(guest.domain.start(), /Failed to get "write" lock/);
    assert.equal(await guest.domain.state(), 'shut off');
    await snapshot.confirm?.();
    await snapshot[Symbol.asyncDispose]();
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['VB_LIBVIRT_START_REFUSED'],
    );
    await guest.domain.start();
    await guest.domain.destroy({ graceful: true });
  });

  it('fail if a guest that has raw disks only was started meanwhile, even if it is off again', async () => {
    const disks = [{ target: 'vda', size: MIB, format: 'raw' }] as const;
    const domain = await lab.define({ name: 'raw', guest: 'seabios', withoutAgentChannel: true, disks });
    const found = await hypervisor.find('raw');
    const snapshot = await hypervisor.snapshot(found, request());
    await snapshot.confirm?.();
    await domain.start();
    await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_LIBVIRT_STARTED' });
    await domain.destroy();
    await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_LIBVIRT_STARTED' });
    await snapshot[Symbol.asyncDispose]();
    assert.equal((await hypervisor.find('raw')).name, 'raw');
  });

  it('compare a disk whose bitmap is spread over two images, since a snapshot was made', async () => {
    const domain = await lab.define({
      name: 'snap',
      guest: 'seabios',
      withoutAgentChannel: true,
      disks: [{ target: 'vda', size: MIB }],
    });
    const snapped = new ModelGuest(domain, lab.folder, { vda: MIB });
    await domain.start();
    await snapped.write('vda', 0, 64 * KIB, 1);
    await snapped.backUp(hypervisor);
    await snapped.write('vda', 128 * KIB, 64 * KIB, 2);
    await lab.virsh('snapshot-create-as', 'snap', 's1', '--disk-only', '--no-metadata');
    await snapped.write('vda', 256 * KIB, 64 * KIB, 3);
    await domain.destroy({ graceful: true });
    const off = await snapped.backUp(hypervisor);
    assert.deepEqual(methods(off), ['vda compare']);
    await snapped.assertRestores(off, snapped.copy());
    await domain.start();
    await snapped.write('vda', 512 * KIB, 64 * KIB, 4);
    const on = await snapped.backUp(hypervisor);
    assert.deepEqual(methods(on), ['vda dirty-bitmap']);
    await snapped.assertRestores(on, snapped.copy());
    await domain.destroy({ graceful: true });
  });

  it('stand on each other also if the guest was saved, and goes on later', async () => {
    const domain = await lab.define({
      name: 'saved',
      guest: 'seabios',
      withoutAgentChannel: true,
      disks: [{ target: 'vda', size: MIB }],
    });
    const saved = new ModelGuest(domain, lab.folder, { vda: MIB });
    await domain.start();
    await saved.backUp(hypervisor);
    await saved.write('vda', 0, 64 * KIB, 1);
    await lab.virsh('managedsave', 'saved');
    const off = await saved.backUp(hypervisor);
    assert.deepEqual(methods(off), ['vda dirty-bitmap']);
    await saved.assertRestores(off, saved.copy());
    await domain.start();
    await saved.write('vda', 512 * KIB, 64 * KIB, 2);
    const on = await saved.backUp(hypervisor);
    assert.deepEqual(methods(on), ['vda dirty-bitmap']);
    await saved.assertRestores(on, saved.copy());
    await domain.destroy();
  });

  it('are full after QEMU was killed, and the bitmap that was not closed is removed', async () => {
    await guest.domain.start();
    await guest.write('vda', 12 * MIB, 64 * KIB, 0x51);
    await guest.domain.kill();
    const [broken = ''] = await checkpoints();
    const full = await backUp('full');
    assert.deepEqual([full.reason, (await guest.bitmaps('vda')).includes(broken)], ['tracking-lost', false]);
    await assertClean();
  });

  for (const [when, running] of [
    ['is off', false],
    ['was started again', true],
  ] as const) {
    it(`leave nothing after a death, if the guest ${when} when it is cleaned up`, async () => {
      const before = await checkpoints();
      const journal = new MemoryJournal();
      const found = await hypervisor.find('web');
      // As if it died: nobody disposes of it, and its servers are ended by their folders.
      await hypervisor.snapshot(found, request({ journal }));
      assert.equal((await checkpoints()).length, 2);
      const leftover = { backupId: 'fedcba9876543210', entries: journal.entries, committed: false };
      if (running) {
        // The servers end with the process that started them; here that is this one.
        await hypervisor.recover({
          ...leftover,
          entries: journal.entries.map((each) => ({ ...each, checkpoint: null })),
        });
        await guest.domain.start();
      }
      await hypervisor.recover(leftover);
      const folders = v.parse(v.object({ folders: v.array(v.string()) }), journal.entries[0]).folders;
      assert.deepEqual(
        folders.map((folder) => existsSync(folder)),
        [false, false, false],
      );
      if (running) await guest.domain.destroy({ graceful: true });
      assert.deepEqual(await checkpoints(), before);
      await assertClean();
      await guest.write('vdc', MIB, 4 * KIB, running ? 0x61 : 0x62);
      await backUp('inc');
    });
  }
});
