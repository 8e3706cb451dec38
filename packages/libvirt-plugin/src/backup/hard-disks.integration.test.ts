import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  coalesce,
  connectPlugin,
  type Extent,
  type Hypervisor,
  type Manifest,
  registerPlugin,
  type Warning,
} from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { deviceOf, type LabDiskOptions, LIBVIRT_LAB_TOOLS, type LibvirtLab, startLibvirtLab } from '@vbackup/lab';
import { container } from 'tsyringe';
import { libvirtPlugin } from '../plugin.js';
import { request } from '../testing/fixture.js';
import { ModelGuest } from '../testing/model-guest.js';

const run = promisify(execFile);
const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

describe('backups of disks that are hard to follow', function () {
  this.timeout(180_000);
  let lab: LibvirtLab;
  let hypervisor: Hypervisor;
  const warnings: Warning[] = [];

  before(async function () {
    this.timeout(300_000);
    requireTools(this, [...LIBVIRT_LAB_TOOLS, 'qemu-io']);
    lab = await startLibvirtLab();
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
  afterEach(async () => {
    assert.deepEqual(warnings, []);
    for (const name of (await lab.virsh('list', '--name')).split('\n'))
      if (name !== '') await lab.virsh('destroy', name);
  });

  type Disks = readonly (LabDiskOptions & { readonly size: number })[];
  const define = async (name: string, disks: Disks): Promise<ModelGuest> => {
    const domain = await lab.define({ name, guest: 'seabios', withoutAgentChannel: true, monitor: true, disks });
    // What does not fit into memory has a model of its own.
    const modelled = disks.filter(({ size }) => size < GIB);
    const sizes = Object.fromEntries(modelled.map(({ target, size }) => [target, size]));
    return new ModelGuest(domain, await mkdtemp(join(lab.folder, 'guest-')), sizes);
  };
  /** A running guest, with a full backup of what its disks hold. */
  const begin = async (name: string, disks: Disks): Promise<ModelGuest> => {
    const guest = await define(name, disks);
    await guest.domain.start();
    for (const { target } of disks) await guest.write(target, MIB, MIB, 0x11);
    await backUp(guest, 'full');
    return guest;
  };
  const backUp = async (
    guest: ModelGuest,
    level: string,
    disks: ReadonlyMap<string, Buffer> = guest.copy(),
  ): Promise<Manifest> => {
    const manifest = await guest.backUp(hypervisor);
    assert.equal(manifest.level, level, JSON.stringify(manifest));
    await guest.assertRestores(manifest, disks);
    return manifest;
  };
  const checkpoints = async (name: string): Promise<readonly string[]> =>
    (await lab.virsh('checkpoint-list', name, '--name')).split('\n').filter((line) => line !== '');

  it('hold whatever is written, zeroed and discarded, in clusters of every size', async () => {
    const guest = await begin('sizes', [
      { target: 'vda', size: 8 * MIB },
      { target: 'vdb', size: 8 * MIB, createOptions: 'cluster_size=4096' },
      { target: 'vdc', size: 8 * MIB, createOptions: 'cluster_size=2M' },
      { target: 'vdd', size: 8 * MIB, createOptions: 'cluster_size=128k,extended_l2=on' },
      { target: 'vde', size: 4 * MIB, format: 'raw' },
    ]);
    const lengths = [512, 1536, 4 * KIB, 60 * KIB, 300 * KIB];
    for (let round = 0; round < 2; round += 1) {
      await using monitor = await guest.domain.monitor();
      for (const [at, target] of ['vda', 'vdb', 'vdc', 'vdd', 'vde'].entries()) {
        for (const [index, length] of lengths.entries()) {
          const offset = 512 * (1 + ((at * 7919 + index * 2801 + round * 104_729) % 6000));
          const value = index === 2 ? 0 : 1 + index + 16 * round;
          const command = value === 0 ? `write -z${at % 2 === 0 ? ' -u' : ''}` : `write -P ${value}`;
          const line = `qemu-io -d ${deviceOf(target)} "${command} ${offset} ${length}"`;
          await monitor.execute('human-monitor-command', { 'command-line': line });
          guest.model(target, { offset, length, value });
        }
        // A whole cluster of every kind.
        if (target === 'vde') continue;
        const line = `qemu-io -d ${deviceOf(target)} "discard ${(2 + 2 * round) * MIB} 2M"`;
        await monitor.execute('human-monitor-command', { 'command-line': line });
        guest.model(target, { offset: (2 + 2 * round) * MIB, length: 2 * MIB, value: 0 });
      }
      const manifest = await backUp(guest, 'inc');
      assert.deepEqual(
        manifest.disks.map(({ method }) => method),
        ['dirty-bitmap', 'dirty-bitmap', 'dirty-bitmap', 'dirty-bitmap', 'compare'],
      );
    }
  });

  it('see more extents than QEMU tells in one reply, of data and of dirty blocks', async () => {
    // QEMU tells 131,072 extents of each kind at most. A dirty block is as long as a cluster, if that has 64 KiB at most.
    const [count, stride, length] = [65_600, 128 * KIB, 4 * KIB];
    const guest = await define('many', [{ target: 'vda', size: 9 * GIB, createOptions: 'cluster_size=4096' }]);
    const write = async (what: (index: number) => string): Promise<void> => {
      const lines = Array.from(
        { length: count },
        (_, index) => `write -q ${what(index)} ${index * stride} ${length}\n`,
      );
      await qemuIo(guest.domain.disk('vda').path, lines.join(''));
    };
    // Of arrays of this length nobody wants to see the difference.
    const assertEveryOne = (extents: readonly Extent[], size: number): void => {
      assert.equal(extents.length, count);
      const wrong = extents.findIndex((extent, index) => extent.offset !== index * stride || extent.length !== size);
      assert.equal(wrong, -1, JSON.stringify(extents[wrong]));
    };
    await write((index) => `-P ${1 + (index % 255)}`);
    await guest.domain.start();
    const found = await hypervisor.find('many');
    const full = await hypervisor.snapshot(found, request());
    const [disk] = full.disks;
    assert.ok(disk);
    {
      await using reader = await disk.open({ connections: 2 });
      const data: Extent[] = [];
      for await (const { kind, ...extent } of reader.allocation?.({ offset: 0, length: disk.size }) ?? []) {
        if (kind === 'data') data.push(extent);
      }
      // LEAD 15:45: deepEqual of 65,600 extents that DIFFER took 14 GB for its diff; I killed that run. Compare compactly: first difference.
      assertEveryOne([...coalesce(data)], length);
      const block = Buffer.alloc(length);
      for (const index of [0, 4711, count - 1]) {
        await reader.read(index * stride, block);
        assert.ok(block.equals(Buffer.alloc(length, 1 + (index % 255))));
      }
    }
    await full.commit();
    await guest.domain.destroy({ graceful: true });
    await write(() => '-z');
    await guest.domain.start();
    await using inc = await hypervisor.snapshot(found, request({ since: full.checkpoint }));
    const changes = inc.disks[0]?.changes;
    assert.ok(changes?.kind === 'since');
    assertEveryOne(changes.extents, length);
  });

  it('go on from the bitmaps of a transient domain that stopped, and of one that was defined anew', async () => {
    const guest = await begin('transient', [{ target: 'vda', size: 8 * MIB }]);
    await guest.domain.destroy({ graceful: true });
    const xml = join(lab.folder, 'transient-copy.xml');
    await writeFile(xml, await lab.virsh('dumpxml', 'transient'));
    await lab.virsh('undefine', 'transient', '--checkpoints-metadata');
    for (const value of [0x22, 0x33]) {
      await lab.virsh('create', xml);
      assert.deepEqual(await checkpoints('transient'), []);
      await guest.write('vda', value * 64 * KIB, 64 * KIB, value);
      await backUp(guest, 'inc');
      assert.equal((await checkpoints('transient')).length, 1);
      await guest.domain.destroy({ graceful: true });
    }
    assert.equal((await guest.bitmaps('vda')).length, 1);
  });

  it('know a disk that was taken away, came back, or is another one, and one that grew', async () => {
    const guest = await begin('hotplug', [
      { target: 'sda', size: 8 * MIB },
      { target: 'sdb', size: 4 * MIB },
    ]);
    const attach = (image: string): Promise<string> =>
      lab.virsh('attach-disk', 'hotplug', image, 'sdb', '--subdriver', 'qcow2', '--targetbus', 'scsi');
    const ours = guest.domain.disk('sdb').path;

    await lab.virsh('detach-disk', 'hotplug', 'sdb');
    await attach(ours);
    await guest.write('sdb', 2 * MIB, 64 * KIB, 0x22);
    await backUp(guest, 'inc');

    await lab.virsh('detach-disk', 'hotplug', 'sdb');
    await guest.write('sda', 2 * MIB, 64 * KIB, 0x33);
    assert.equal((await backUp(guest, 'inc')).disks.length, 1);
    await attach(ours);
    assert.equal((await backUp(guest, 'full')).reason, 'disk-replaced');

    const other = join(lab.images, 'other.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', other, '4M']);
    await lab.virsh('detach-disk', 'hotplug', 'sdb');
    await attach(other);
    const expected = new Map([...guest.copy(), ['sdb', Buffer.alloc(4 * MIB)] as const]);
    assert.equal((await backUp(guest, 'full', expected)).reason, 'tracking-lost');

    await lab.virsh('blockresize', 'hotplug', 'sda', '12M');
    await guest.domain.dirty('sda', `write -P 68 ${11 * MIB} 4k`);
    const grown = Buffer.concat([guest.copy().get('sda') ?? Buffer.alloc(0), Buffer.alloc(4 * MIB)]);
    grown.fill(68, 11 * MIB, 11 * MIB + 4 * KIB);
    await backUp(guest, 'inc', new Map([...expected, ['sda', grown] as const]));

    const names = await checkpoints('hotplug');
    await guest.domain.destroy({ graceful: true });
    assert.equal(names.length, 1);
    assert.deepEqual(await guest.bitmaps('sda'), names, 'no bitmap is left that libvirt does not know');
  });

  it('hold what was cut off when a disk was made smaller and larger again, of a guest that runs and of one that is off', async () => {
    const below = join(lab.images, 'cut-below.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', below, '8M']);
    await qemuIo(below, 'write -P 9 0 8M\n');
    const guest = await define('cut', [
      { target: 'vda', size: 8 * MIB },
      { target: 'vdb', size: 8 * MIB, createOptions: `backing_file=${below},backing_fmt=qcow2` },
      { target: 'vdc', size: 8 * MIB, createOptions: 'cluster_size=2M' },
      { target: 'vdd', size: 8 * MIB, createOptions: 'cluster_size=4096' },
      { target: 'vde', size: 8 * MIB, createOptions: 'cluster_size=128k,extended_l2=on' },
    ]);
    const targets = ['vda', 'vdb', 'vdc', 'vdd', 'vde'];
    const { domain } = guest;
    const resize = (target: string, size: number): Promise<string> =>
      lab.virsh('blockresize', 'cut', target, `${size}B`);
    const images = async (): Promise<ReadonlyMap<string, Buffer>> => {
      const disks = new Map<string, Buffer>();
      for (const target of targets) disks.set(target, await rawOf(domain.disk(target).path));
      return disks;
    };
    /** A backup of the running guest, which is stopped after it. */
    const backUpAndStop = async (expected: string): Promise<Manifest> => {
      const manifest = await guest.backUp(hypervisor);
      assert.equal(manifest.level, expected, JSON.stringify(manifest));
      await domain.destroy({ graceful: true });
      await guest.assertRestores(manifest, await images());
      return manifest;
    };
    await domain.start();
    for (const target of targets) await domain.dirty(target, `write -P 1 0 8M`);
    assert.equal((await guest.backUp(hypervisor)).level, 'full');

    // In the middle of a cluster; what is written before the cut is forgotten, what is written after it is not.
    for (const target of targets) {
      await domain.dirty(target, 'write -P 2 5M 64k');
      await resize(target, 3 * MIB + 1024);
      await resize(target, 8 * MIB);
    }
    await domain.dirty('vdb', `write -P 3 ${3 * MIB + 64 * KIB} ${5 * MIB - 64 * KIB}`);
    await domain.dirty('vdc', 'write -P 3 5M 4k');
    await domain.dirty('vdd', 'write -P 3 5M 4k');
    const inc = await backUpAndStop('inc');
    assert.deepEqual(
      inc.disks.map(({ method }) => method),
      targets.map(() => 'dirty-bitmap'),
    );

    // Each cut in the middle of a cluster leaves that cluster.
    for (const target of targets) {
      const { path } = domain.disk(target);
      for (const size of [MIB + 1024, 5 * MIB + 1024]) {
        await run('qemu-img', ['resize', '-q', '-f', 'qcow2', '--shrink', path, String(size)]);
        await run('qemu-img', ['resize', '-q', '-f', 'qcow2', path, '8M']);
      }
    }
    const off = await guest.backUp(hypervisor);
    assert.deepEqual([off.level, (await domain.state()).trim()], ['inc', 'shut off']);
    await guest.assertRestores(off, await images());

    await domain.start();
    for (const target of targets) {
      await domain.dirty(target, 'write -P 4 0 8M');
      await resize(target, 2 * MIB);
      await resize(target, 9 * MIB);
    }
    await backUpAndStop('inc');
    await domain.start();
    await resize('vda', 5 * MIB);
    assert.equal((await backUpAndStop('full')).reason, 'disk-shrunk');
    await domain.start();
    const { readLength } = (await guest.backUp(hypervisor)).disks[0] ?? assert.fail();
    assert.equal(readLength, 0, 'nothing changed, and nothing is copied');
  });

  it('go on over an external snapshot, its commit, and a saved state', async () => {
    const guest = await begin('snap', [{ target: 'vda', size: 8 * MIB }]);
    await guest.write('vda', 2 * MIB, 64 * KIB, 0x22);
    const overlay = join(lab.images, 'snap-overlay.qcow2');
    await lab.virsh(
      'snapshot-create-as',
      'snap',
      'one',
      '--disk-only',
      '--no-metadata',
      '--diskspec',
      `vda,file=${overlay}`,
    );
    await guest.write('vda', 3 * MIB, 64 * KIB, 0x33);
    await backUp(guest, 'inc');
    await guest.write('vda', 4 * MIB, 64 * KIB, 0x44);
    await lab.virsh('blockcommit', 'snap', 'vda', '--active', '--wait', '--pivot');
    await guest.write('vda', 5 * MIB, 64 * KIB, 0x55);
    await backUp(guest, 'inc');
    await guest.write('vda', 6 * MIB, 64 * KIB, 0x66);
    await lab.virsh('managedsave', 'snap');
    await lab.virsh('start', 'snap');
    await guest.write('vda', 7 * MIB, 64 * KIB, 0x77);
    await backUp(guest, 'inc');
    const names = await checkpoints('snap');
    await guest.domain.destroy({ graceful: true });
    assert.deepEqual(await guest.bitmaps('vda'), names);
  });
});

/** Executes the commands of qemu-io in an image that nobody has open. */
async function qemuIo(path: string, commands: string): Promise<void> {
  // Nothing has to survive a crash of the machine.
  const child = spawn('qemu-io', ['-f', 'qcow2', '-t', 'unsafe', path], { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(commands);
  assert.deepEqual(await once(child, 'close'), [0, null]);
}

/** What an image holds that nobody has open. */
async function rawOf(path: string): Promise<Buffer> {
  const raw = `${path}.raw`;
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', path, raw]);
  const bytes = await readFile(raw);
  await rm(raw);
  return bytes;
}
