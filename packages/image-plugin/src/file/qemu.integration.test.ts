import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Hypervisor, type JsonObject, type Manifest, QemuNbd, type Snapshot } from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { container } from 'tsyringe';
import { diskOf, ImageLab, KIB, type LabJob, MIB, qemuIo, run, sha256, writeAt } from '../testing/image-lab.js';
import { filePlugin } from './plugin.js';

const UNIT = 64 * KIB;

interface Frozen {
  readonly hypervisor: Hypervisor;
  readonly snapshot: Snapshot;
  /** Of the journal. */
  readonly entries: readonly JsonObject[];
}

const folderIn = ([entry]: readonly JsonObject[]): string => {
  const folder = entry?.['folder'];
  return typeof folder === 'string' ? folder : assert.fail('no folder');
};

describe('images that QEMU reads', function () {
  this.timeout(120_000);
  let lab: ImageLab;
  let outer: string | undefined;
  let temporary: string;
  const backUp = (selector: string, more: Partial<LabJob> = {}): Promise<Manifest> =>
    lab.backUp({ plugin: filePlugin, selector, ...more });
  /** The disk inside, as QEMU itself reads it. */
  const digest = async (path: string, format: string): Promise<string> => {
    await run('qemu-img', 'convert', '-f', format, '-O', 'raw', path, lab.path('plain'));
    return sha256(await readFile(lab.path('plain')));
  };

  before(function () {
    requireTools(this, ['qemu-img', 'qemu-nbd', 'qemu-io']);
  });
  beforeEach(async () => {
    // Files of tests run side by side, and theirs have servers too.
    outer = process.env['TMPDIR'];
    temporary = await mkdtemp(join(tmpdir(), 'vb-'));
    process.env['TMPDIR'] = temporary;
    lab = await ImageLab.create();
    await writeFile(lab.path('disk.raw'), Buffer.alloc(16 * MIB));
    await writeAt(lab.path('disk.raw'), 3 * MIB, randomBytes(2 * MIB));
  });
  afterEach(async () => {
    await lab[Symbol.asyncDispose]();
    const left = await readdir(temporary);
    await rm(temporary, { recursive: true });
    if (outer === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = outer;
    assert.deepEqual(left, []);
  });

  const make = async (name: string, format: string, ...options: readonly string[]): Promise<string> => {
    const path = lab.path(name);
    await run('qemu-img', 'convert', '-f', 'raw', '-O', format, ...options, lab.path('disk.raw'), path);
    return path;
  };

  /** What a run has while it reads, for as long as the snapshot is not disposed. */
  const freeze = async (path: string): Promise<Frozen> => {
    const hypervisor = await filePlugin.connect({}, { container });
    const entries: JsonObject[] = [];
    const journal = { record: async (entry: JsonObject) => void entries.push(entry) };
    const request = { backupId: 'b', repositoryId: 'r', since: null, keepCheckpoint: true, journal };
    return { hypervisor, entries, snapshot: await hypervisor.snapshot(await hypervisor.find(path), request) };
  };

  const formats: readonly (readonly [string, string, string, readonly string[]])[] = [
    ['qcow2', 'a.qcow2', 'qcow2', []],
    ['qcow2 of version 2', 'a', 'qcow2', ['-o', 'compat=0.10']],
    ['VHD', 'a.vhd', 'vpc', []],
    ['fixed VHD', 'a.vhd', 'vpc', ['-o', 'subformat=fixed']],
    ['VHDX', 'a.vhdx', 'vhdx', []],
    ['VMDK', 'a.vmdk', 'vmdk', []],
    ['VMDK in pieces of a stream', 'a.vmdk', 'vmdk', ['-o', 'subformat=streamOptimized']],
    ['VDI', 'a.vdi', 'vdi', []],
  ];
  for (const [what, name, format, options] of formats) {
    it(`of the format ${what} are backed up, then what differs, and come back`, async () => {
      const path = await make(name, format, ...options);
      const before = await readFile(path);
      const full = await backUp(path);
      assert.deepEqual(lab.warned, []);
      assert.equal(diskOf(full).name, 'a');
      assert.equal(await lab.digestOf(full), await digest(path, format));
      // QEMU's map counts in the clusters of the format: 2 MiB of a VHD, 8 MiB of a VHDX.
      if (format === 'qcow2') assert.equal(diskOf(full).readLength, 2 * MIB);
      assert.ok((await readFile(path)).equals(before), 'the image was written to');
      if (options.includes('subformat=streamOptimized')) return;
      await qemuIo(format, path, 'write -P 9 1M 4k', 'write -P 7 9M 64k');
      const increment = await backUp(path);
      assert.deepEqual([increment.level, diskOf(increment).method], ['inc', 'digests']);
      assert.equal(diskOf(increment).dataLength, 2 * UNIT);
      assert.equal(await lab.digestOf(increment), await digest(path, format));
      assert.deepEqual(await lab.fixture.damage(), []);
    });
  }

  for (const [name, format] of [
    ['a.qcow2', 'qcow2'],
    ['a.vmdk', 'vmdk'],
    ['a.vdi', 'vdi'],
  ] as const) {
    it(`that were cut off are refused, though QEMU reads zeros there: ${format}`, async () => {
      await writeAt(lab.path('disk.raw'), 3 * MIB, randomBytes(10 * MIB));
      const path = await make(name, format);
      await truncate(path, 6 * MIB);
      await assert.rejects(backUp(path), { code: 'VB_IMAGE_FORMAT', message: /is cut off/, cure: /copy .* again/ });
      const manifest = await backUp(path, { options: { format: 'raw' } });
      assert.equal(await lab.digestOf(manifest), sha256(await readFile(path)));
    });
  }

  it('stand on a backing file only if they are told to', async () => {
    const base = await make('base.qcow2', 'qcow2');
    const top = lab.path('top.qcow2');
    await run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', top);
    await qemuIo('qcow2', top, 'write -P 9 4M 64k');
    await assert.rejects(backUp(top), { code: 'VB_IMAGE_FORMAT', cure: /--file-format qcow2/ });
    const manifest = await backUp(top, { options: { format: 'qcow2' } });
    assert.equal(await lab.digestOf(manifest), await digest(top, 'qcow2'));
  });

  it('are opened as what the user says, and else not at all', async () => {
    const path = await make('a.qcow2', 'qcow2');
    await assert.rejects(backUp(path, { options: { format: 'vmdk' } }), { code: 'VB_IMAGE_FORMAT' });
    await assert.rejects(backUp(lab.path('disk.raw'), { options: { format: 'qcow2' } }), { code: 'VB_IMAGE_FORMAT' });
    await assert.rejects(backUp(path, { options: { format: 'floppy' } }), { code: 'VB_PLUGIN_OPTION' });
    await backUp(path);
    const raw = await backUp(path, { options: { format: 'raw' } });
    assert.equal(raw.level, 'full');
    assert.match(diskOf(raw).reason ?? '', /^disk-(replaced|shrunk)$/);
    assert.equal(await lab.digestOf(raw), sha256(await readFile(path)));
  });

  it('that a machine uses are refused', async () => {
    const path = await make('a.qcow2', 'qcow2');
    await using _machine = await QemuNbd.start({ path, format: 'qcow2', readOnly: false, connections: 1 });
    await assert.rejects(backUp(path), { code: 'VB_IMAGE_LOCKED', cure: /--hypervisor libvirt/ });
  });

  it('are kept from machines while they are read', async () => {
    const path = await make('a.qcow2', 'qcow2');
    const { snapshot } = await freeze(path);
    await using frozen = snapshot;
    await using reader = await (frozen.disks[0] ?? assert.fail()).open({ connections: 1 });
    await reader.read(0, Buffer.alloc(MIB));
    const machine = { path, format: 'qcow2', readOnly: false, connections: 1 };
    await assert.rejects(QemuNbd.start(machine), { code: 'VB_IMAGE_LOCKED' });
    await reader.read(MIB, Buffer.alloc(MIB));
  });

  it('need programs that may be missing, which is said', async () => {
    const path = await make('a.qcow2', 'qcow2');
    const { PATH } = process.env;
    process.env['PATH'] = lab.folder;
    try {
      await assert.rejects(backUp(path), { code: 'VB_QEMU_MISSING', cure: /qemu-utils/ });
      assert.equal((await backUp(lab.path('disk.raw'))).level, 'full');
    } finally {
      process.env['PATH'] = PATH;
    }
  });

  it('end with the words of the server when it dies', async () => {
    const path = await make('a.qcow2', 'qcow2');
    await qemuIo('qcow2', path, 'write -P 1 0 16M');
    const { entries, snapshot } = await freeze(path);
    await using frozen = snapshot;
    await using reader = await (frozen.disks[0] ?? assert.fail()).open({ connections: 2 });
    const folder = folderIn(entries);
    process.kill(Number(await readFile(join(folder, 'pid'), 'utf8')), 'SIGKILL');
    const words = { code: 'VB_QEMU_FAILED', message: /a\.qcow2: qemu-nbd says: killed by SIGKILL/ };
    await assert.rejects(reader.read(0, Buffer.alloc(MIB)), words);
    await assert.rejects(async () => {
      for await (const extent of reader.allocation?.({ offset: 0, length: MIB }) ?? []) assert.fail(extent.kind);
    }, words);
  });

  it('leave a server and a folder that the next run removes', async () => {
    const path = await make('a.qcow2', 'qcow2');
    const { hypervisor, entries, snapshot } = await freeze(path);
    await using _snapshot = snapshot;
    const folder = folderIn(entries);
    assert.ok(existsSync(folder));
    for (let times = 0; times < 2; times += 1) {
      await hypervisor.recover({ backupId: 'b', entries, committed: false });
      assert.ok(!existsSync(folder));
    }
  });

  it('tell the doctor what there is to read them', async () => {
    const hypervisor = await filePlugin.connect({}, { container });
    const states: Record<string, string> = {};
    for await (const { name, state } of hypervisor.diagnose?.() ?? []) states[name] = state;
    assert.deepEqual(states, { holes: 'good', 'qemu-img': 'good', 'qemu-nbd': 'good' });
  });

  describe('with a dirty bitmap', () => {
    let path: string;
    const options = { bitmap: 'b0' };
    beforeEach(async () => {
      path = await make('a.qcow2', 'qcow2');
      await run('qemu-img', 'bitmap', '--add', '-g', String(UNIT), path, 'b0');
      await qemuIo('qcow2', path, 'write -P 1 1M 64k');
    });
    const increment = async (): Promise<Manifest> => {
      const manifest = await backUp(path, { options });
      assert.equal(manifest.level, 'inc');
      assert.equal(await lab.digestOf(manifest), await digest(path, 'qcow2'));
      return manifest;
    };

    it('read only what it names, and store what differs of that', async () => {
      await backUp(path, { options });
      assert.deepEqual(lab.warned, []);
      const before = await readFile(path);
      await qemuIo('qcow2', path, 'write -P 2 8M 4k');
      const first = diskOf(await increment());
      assert.deepEqual([first.method, first.readLength, first.dataLength], ['dirty-bitmap', 2 * UNIT, UNIT]);
      await qemuIo('qcow2', path, 'write -P 3 12M 4k', 'discard 3M 1M');
      const second = diskOf(await increment());
      assert.equal(second.method, 'dirty-bitmap');
      assert.equal(second.dataLength, 17 * UNIT);
      assert.deepEqual(lab.warned, []);
      assert.ok(!before.equals(await readFile(path)));
    });

    it('is never written to', async () => {
      await backUp(path, { options });
      await qemuIo('qcow2', path, 'write -P 2 8M 4k');
      const before = await readFile(path);
      await increment();
      assert.ok((await readFile(path)).equals(before));
    });

    const tampered: readonly (readonly [string, readonly string[], RegExp])[] = [
      ['cleared', ['--clear'], /cleared or replaced/],
      ['removed', ['--remove'], /no such bitmap; it has none/],
      ['disabled', ['--disable'], /disabled/],
    ];
    for (const [what, change, reason] of tampered) {
      it(`is not trusted after it was ${what}`, async () => {
        await backUp(path, { options });
        await qemuIo('qcow2', path, 'write -P 2 8M 4k');
        await run('qemu-img', 'bitmap', ...change, path, 'b0');
        await qemuIo('qcow2', path, 'write -P 2 9M 4k');
        const manifest = await increment();
        assert.equal(diskOf(manifest).method, 'digests');
        assert.deepEqual(lab.warned, ['VB_BITMAP_UNTRUSTED']);
        assert.match(lab.warnings[0]?.message ?? '', reason);
      });
    }

    it('is not trusted in another image of the same path, though the same is dirty there', async () => {
      await backUp(path, { options });
      await rm(path);
      await make('a.qcow2', 'qcow2');
      await qemuIo('qcow2', path, 'write -P 9 5M 1M');
      await run('qemu-img', 'bitmap', '--add', '-g', String(UNIT), path, 'b0');
      await qemuIo('qcow2', path, 'write -P 1 1M 64k');
      const manifest = await increment();
      assert.equal(diskOf(manifest).method, 'digests');
      assert.match(lab.warnings[0]?.message ?? '', /another file/);
    });

    it('is not trusted after QEMU was killed', async () => {
      await backUp(path, { options });
      const machine = await QemuNbd.start({ path, format: 'qcow2', readOnly: false, connections: 1 });
      process.kill(machine.pid ?? 0, 'SIGKILL');
      await machine[Symbol.asyncDispose]();
      const manifest = await increment();
      assert.equal(diskOf(manifest).method, 'digests');
      assert.match(lab.warnings[0]?.message ?? '', /in use/);
    });

    it('is not trusted if the last backup did not look at it, or it was empty then', async () => {
      await backUp(path);
      await qemuIo('qcow2', path, 'write -P 2 8M 4k');
      assert.equal(diskOf(await increment()).method, 'digests');
      assert.match(lab.warnings[0]?.message ?? '', /did not see/);
      const other = await make('b.qcow2', 'qcow2');
      await run('qemu-img', 'bitmap', '--add', other, 'b0');
      await backUp(other, { options });
      await qemuIo('qcow2', other, 'write -P 2 8M 4k');
      assert.equal(diskOf(await backUp(other, { options })).method, 'digests');
      assert.match(lab.warnings[0]?.message ?? '', /was empty/);
      assert.equal(diskOf(await backUp(other, { options })).method, 'dirty-bitmap');
    });

    it('leaves out nothing of a disk that grew', async () => {
      await backUp(path, { options });
      await run('qemu-img', 'resize', '-q', path, '20M');
      await qemuIo('qcow2', path, 'write -P 5 18M 64k');
      const manifest = diskOf(await increment());
      assert.deepEqual([manifest.method, manifest.size], ['dirty-bitmap', 20 * MIB]);
    });

    it('leaves out nothing of a disk that was made smaller and then larger again', async () => {
      await qemuIo('qcow2', path, 'write -P 6 14M 1M');
      await run('qemu-img', 'bitmap', '--remove', path, 'b0');
      await run('qemu-img', 'bitmap', '--add', '-g', String(UNIT), path, 'b0');
      await qemuIo('qcow2', path, 'write -P 1 1M 64k');
      await backUp(path, { options });
      await run('qemu-img', 'resize', '-q', '--shrink', path, '13M');
      await run('qemu-img', 'resize', '-q', path, '16M');
      const { method, dataLength } = diskOf(await increment());
      assert.deepEqual([method, dataLength], ['dirty-bitmap', MIB]);
    });

    it('leaves out nothing of clusters longer than its blocks, that were written again in part after the disk was cut', async () => {
      path = lab.path('long.qcow2');
      await run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=2M', path, '16M');
      await qemuIo('qcow2', path, 'write -P 6 0 16M');
      await run('qemu-img', 'bitmap', '--add', '-g', String(UNIT), path, 'b0');
      await qemuIo('qcow2', path, 'write -P 1 1M 64k');
      await backUp(path, { options });
      // The record of the last write before the second cut goes with it, and what was written stays.
      for (const [size, command] of [
        ['3M', 'write -P 7 5M 64k'],
        ['10M', 'write -P 8 13M 64k'],
        ['12544k', 'write -P 9 8M 4k'],
      ] as const) {
        await run('qemu-img', 'resize', '-q', '--shrink', path, size);
        await run('qemu-img', 'resize', '-q', path, '16M');
        await qemuIo('qcow2', path, command);
      }
      assert.equal(diskOf(await increment()).method, 'dirty-bitmap');
    });

    it('is not trusted where the disk lies in another file as well', async () => {
      const top = lab.path('top.qcow2');
      await run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', path, '-F', 'qcow2', top);
      await run('qemu-img', 'bitmap', '--add', top, 'b0');
      const withFormat = { options: { ...options, format: 'qcow2' } };
      await backUp(top, withFormat);
      assert.match(lab.warnings[0]?.message ?? '', /lies in \S+a\.qcow2 as well/);
      const manifest = await backUp(top, withFormat);
      assert.equal(diskOf(manifest).method, 'digests');
    });

    it('can be audited', async () => {
      await backUp(path, { options });
      await qemuIo('qcow2', path, 'write -P 2 8M 4k');
      const audited = await backUp(path, { options, auditShares: 1 });
      assert.equal(diskOf(audited).audit?.length, 16 * MIB - 2 * UNIT);
    });

    it('means nothing to a raw image', async () => {
      await backUp(lab.path('disk.raw'), { options });
      assert.deepEqual(lab.warned, ['VB_BITMAP_UNTRUSTED']);
    });
  });
});
