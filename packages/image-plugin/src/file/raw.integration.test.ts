import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, copyFileSync, openSync, renameSync, rmSync, truncateSync, writeSync } from 'node:fs';
import {
  copyFile,
  mkdir,
  open,
  readFile,
  realpath,
  rm,
  statfs,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Manifest, QemuNbd, type SnapshotRequest, type WorkEvent } from '@vbackup/core';
import { attachLoopDevice, mountFileSystem, requireMounts, requireTools } from '@vbackup/core/testing';
import { container } from 'tsyringe';
import { diskOf, ImageLab, KIB, type LabJob, MIB, run, sha256, writeAt } from '../testing/image-lab.js';
import { isLockedForWriting } from './image-lock.js';
import { filePlugin } from './plugin.js';

const REQUEST: SnapshotRequest = {
  backupId: 'b',
  repositoryId: 'r',
  since: null,
  keepCheckpoint: true,
  journal: { record: async () => undefined },
};
/** linux/magic.h. */
const TMPFS_MAGIC = 0x01021994;
const SIZE = 24 * MIB + 12_345;

function overwriteSync(path: string, offset: number): void {
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, Buffer.from([1]), 0, 1, offset);
  } finally {
    closeSync(fd);
  }
}

describe('raw images', function () {
  this.timeout(60_000);
  let lab: ImageLab;
  let path: string;
  const backUp = (more: Partial<LabJob> = {}): Promise<Manifest> =>
    lab.backUp({ plugin: filePlugin, selector: path, ...more });
  const digest = async (): Promise<string> => sha256(await readFile(path));

  beforeEach(async () => {
    lab = await ImageLab.create();
    path = lab.path('web01.raw');
    await writeFile(path, '');
    await truncate(path, SIZE);
    await writeAt(path, MIB, randomBytes(3 * MIB));
    await writeAt(path, SIZE - 777, randomBytes(777));
  });
  afterEach(() => lab[Symbol.asyncDispose]());

  it('are backed up without their holes, then what differs, and come back byte for byte', async () => {
    const full = await backUp();
    const first = await digest();
    assert.deepEqual(
      [full.level, full.reason, diskOf(full).name, diskOf(full).size],
      ['full', 'first-backup', 'web01', SIZE],
    );
    assert.equal(full.guest.id, await realpath(path));
    // Three MiB and the tail, in pages of 64 KiB.
    assert.ok(diskOf(full).readLength <= 3 * MIB + 128 * KIB, `${diskOf(full).readLength}`);

    await writeAt(path, 2 * MIB + 5, randomBytes(100));
    await writeAt(path, 20 * MIB, randomBytes(64 * KIB));
    await writeAt(path, SIZE - 1, Buffer.from([1]));
    const increment = await backUp();
    assert.deepEqual([increment.level, diskOf(increment).method], ['inc', 'digests']);
    assert.ok(diskOf(increment).dataLength <= 3 * 64 * KIB, `${diskOf(increment).dataLength}`);
    assert.equal(await lab.digestOf(full), first);
    assert.equal(await lab.digestOf(increment), await digest());

    const same = await backUp();
    assert.deepEqual([same.level, diskOf(same).dataLength], ['inc', 0]);
    assert.equal(await lab.digestOf(same), await digest());
    assert.deepEqual(await lab.fixture.damage(), []);
    assert.deepEqual(lab.warned, []);
  });

  it('may grow between backups; what is cut off begins a new chain', async () => {
    await backUp();
    await truncate(path, SIZE + 5 * MIB + 1);
    await writeAt(path, SIZE + 5 * MIB, Buffer.from([7]));
    const grown = await backUp();
    assert.equal(grown.level, 'inc');
    assert.equal(await lab.digestOf(grown), await digest());
    await truncate(path, 5 * MIB + 3);
    const cut = await backUp();
    assert.deepEqual([cut.level, cut.reason], ['full', 'disk-shrunk']);
    assert.equal(await lab.digestOf(cut), await digest());
  });

  it('go by their real path, whatever link leads there', async () => {
    const { guest } = await backUp();
    await symlink(path, lab.path('link'));
    const increment = await backUp({ selector: lab.path('link') });
    assert.deepEqual([increment.guest.id, increment.level], [guest.id, 'inc']);
  });

  it('are told to be a mixture where a restore in place did not end', async () => {
    await writeFile(`${path}.restoring`, 'a note');
    await backUp();
    assert.match(lab.warned.join(), /VB_TARGET_MIXED/);
  });

  it('have a base that a differential and a copy leave where it is', async () => {
    await backUp();
    for (const level of ['diff', 'copy'] as const) {
      await writeAt(path, 10 * MIB, randomBytes(1000));
      const manifest = await backUp({ level });
      assert.deepEqual([manifest.level, manifest.checkpoint], [level, null]);
      assert.equal(await lab.digestOf(manifest), await digest());
    }
    assert.equal((await backUp()).level, 'inc');
  });

  // At once, while the event is told: the backup could be done before a promise is.
  const disturbances: readonly (readonly [string, () => void, RegExp])[] = [
    ['written to', () => overwriteSync(path, 5 * MIB), /was written to/],
    ['cut', () => truncateSync(path, 4 * MIB), /changed its size|ends at byte|it had \d+ bytes, now/],
    ['lengthened', () => truncateSync(path, SIZE + 1), /changed its size|it had \d+ bytes, now/],
    ['removed', () => rmSync(path), /vanished/],
    [
      'replaced',
      () => {
        copyFileSync(path, lab.path('other'));
        renameSync(lab.path('other'), path);
      },
      /was replaced/,
    ],
  ];
  for (const [what, disturb, message] of disturbances) {
    it(`that are ${what} meanwhile are told so, and leave no backup`, async () => {
      await writeAt(path, 6 * MIB, randomBytes(8 * MIB));
      const onEvent = ({ type }: WorkEvent): void => {
        if (type === 'disk-start') disturb();
      };
      await assert.rejects(backUp({ onEvent }), { code: 'VB_FILE_CHANGED', message });
      const { backups } = await lab.fixture.repository.catalogue();
      assert.deepEqual(backups, []);
    });
  }

  it('that are written to through a memory map meanwhile leave no backup', async function () {
    requireTools(this, ['python3']);
    // tmpfs notes no time for such writes.
    using mounted = (await statfs(lab.folder)).type === TMPFS_MAGIC ? mountFileSystem(this, 'ext4') : null;
    const image = join(mounted?.path ?? lab.folder, 'image.raw');
    await copyFile(path, image);
    // Linux notes a time of modification only with the first write to a page that lies clean in memory.
    const script = [
      'import mmap, os, sys',
      'page = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 4096)',
      'for line in sys.stdin: page[0] = int(line); print(flush=True)',
    ].join('\n');
    const writer = spawn('python3', ['-c', script, image], { stdio: ['pipe', 'pipe', 'inherit'] });
    const write = async (byte: number): Promise<void> => {
      writer.stdin.write(`${byte}\n`);
      await once(writer.stdout, 'data');
    };
    try {
      await write(1);
      await using hypervisor = await filePlugin.connect({}, { container });
      await using snapshot = await hypervisor.snapshot(await hypervisor.find(image), REQUEST);
      await write(2);
      await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_FILE_CHANGED', message: /was written to/ });
    } finally {
      writer.stdin.end();
      await once(writer, 'close');
    }
  });

  it('that are written to by a program that sets their time back leave no backup', async () => {
    const before = new Date('2026-01-02T03:04:05Z');
    await utimes(path, before, before);
    await using hypervisor = await filePlugin.connect({}, { container });
    await using snapshot = await hypervisor.snapshot(await hypervisor.find(path), REQUEST);
    await writeAt(path, 5 * MIB, Buffer.from([1]));
    await utimes(path, before, before);
    await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_FILE_CHANGED', message: /was written to/ });
  });

  it('that are not there, or are no images, are refused', async () => {
    await mkdir(lab.path('folder'));
    await writeFile(lab.path('empty'), '');
    await run('mkfifo', lab.path('pipe'));
    const server = createServer().listen(lab.path('socket'));
    await once(server, 'listening');
    const refused: readonly (readonly [string, string])[] = [
      [lab.path('none'), 'VB_GUEST_NOT_FOUND'],
      [`${path}/under`, 'VB_GUEST_NOT_FOUND'],
      [lab.path('folder'), 'VB_FILE_TYPE'],
      [lab.path('empty'), 'VB_FILE_TYPE'],
      [lab.path('pipe'), 'VB_FILE_TYPE'],
      [lab.path('socket'), 'VB_FILE_TYPE'],
      ['/dev/null', 'VB_FILE_TYPE'],
      ['/proc/version', 'VB_FILE_TYPE'],
    ];
    try {
      for (const [selector, code] of refused) await assert.rejects(backUp({ selector }), { code }, selector);
    } finally {
      server.close();
    }
  });

  it('that QEMU writes to are refused; those that it reads are not', async function () {
    requireTools(this, ['qemu-nbd']);
    {
      await using _reader = await QemuNbd.start({ path, format: 'raw', readOnly: true, connections: 1 });
      assert.equal((await backUp()).level, 'full');
    }
    await using _writer = await QemuNbd.start({ path, format: 'raw', readOnly: false, connections: 1 });
    await assert.rejects(backUp(), { code: 'VB_IMAGE_LOCKED', cure: /--hypervisor libvirt/ });
  });

  it('are known to be written to by QEMU from /proc/locks alone, where the kernel cannot be asked', async function () {
    requireTools(this, ['qemu-nbd']);
    const handle = await open(path);
    try {
      const isLocked = async (): Promise<boolean> => {
        const stats = await handle.stat({ bigint: true });
        return isLockedForWriting({ fd: handle.fd, stats }, Promise.resolve(null));
      };
      for (const readOnly of [true, false]) {
        await using _server = await QemuNbd.start({ path, format: 'raw', readOnly, connections: 1 });
        assert.equal(await isLocked(), !readOnly);
      }
      assert.equal(await isLocked(), false);
    } finally {
      await handle.close();
    }
  });

  it('that QEMU begins to write to meanwhile leave no backup', async function () {
    requireTools(this, ['qemu-nbd']);
    await using hypervisor = await filePlugin.connect({}, { container });
    await using snapshot = await hypervisor.snapshot(await hypervisor.find(path), REQUEST);
    await using _writer = await QemuNbd.start({ path, format: 'raw', readOnly: false, connections: 1 });
    await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_IMAGE_LOCKED' });
  });

  it('with the header of something else are read as they are', async function () {
    requireTools(this, ['qemu-img']);
    const secret = lab.path('secret');
    await writeFile(secret, randomBytes(MIB));
    for (const name of ['guest.raw', 'guest.img']) {
      const image = lab.path(name);
      await run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'raw', image);
      const manifest = await backUp({ selector: image });
      assert.deepEqual(lab.warned, ['VB_IMAGE_FORMAT']);
      assert.equal(await lab.digestOf(manifest), sha256(await readFile(image)));
    }
    const image = lab.path('guest');
    await run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'raw', image);
    await assert.rejects(backUp({ selector: image }), { code: 'VB_IMAGE_FORMAT', cure: /--file-format/ });
    const manifest = await backUp({ selector: image, options: { format: 'raw' } });
    assert.equal(await lab.digestOf(manifest), sha256(await readFile(image)));
  });

  it('stay raw when a guest writes such a header later', async function () {
    requireTools(this, ['qemu-img']);
    const image = lab.path('guest');
    await writeFile(image, randomBytes(2 * MIB));
    await backUp({ selector: image });
    await run('qemu-img', 'create', '-q', '-f', 'qcow2', lab.path('small'), '1M');
    await writeAt(image, 0, await readFile(lab.path('small')));
    const increment = await backUp({ selector: image });
    assert.deepEqual([increment.level, diskOf(increment).size], ['inc', 2 * MIB]);
    assert.deepEqual(lab.warned, ['VB_IMAGE_FORMAT']);
    assert.equal(await lab.digestOf(increment), sha256(await readFile(image)));
  });

  it('are not read through a pipe that takes their place', async () => {
    await using hypervisor = await filePlugin.connect({}, { container });
    const guest = await hypervisor.find(path);
    await rm(path);
    await run('mkfifo', path);
    await assert.rejects(hypervisor.snapshot(guest, REQUEST), { code: 'VB_FILE_TYPE' });
  });
});

describe('block devices', function () {
  this.timeout(60_000);
  let lab: ImageLab;
  before(function () {
    requireMounts(this);
  });
  beforeEach(async () => {
    lab = await ImageLab.create();
  });
  afterEach(() => lab[Symbol.asyncDispose]());

  it('are backed up, then what differs, and watched while they are read', async function () {
    const file = lab.path('disk');
    await writeFile(file, randomBytes(4 * MIB + 512));
    using device = attachLoopDevice(this, file);
    const { path } = device;
    const backUp = (more: Partial<LabJob> = {}): Promise<Manifest> =>
      lab.backUp({ plugin: filePlugin, selector: path, ...more });
    const full = await backUp();
    assert.deepEqual([full.guest.id, diskOf(full).size], [path, 4 * MIB + 512]);
    await writeAt(path, MIB, randomBytes(512));
    const increment = await backUp();
    assert.deepEqual([increment.level, diskOf(increment).method], ['inc', 'digests']);
    assert.ok(diskOf(increment).dataLength <= 64 * KIB);
    assert.equal(await lab.digestOf(increment), sha256(await readFile(path)));
    assert.deepEqual(lab.warned, []);
    // At once: the backup could be done before a promise is.
    const onEvent = ({ type }: WorkEvent): void => {
      if (type === 'disk-start') overwriteSync(path, 2 * MIB);
    };
    await assert.rejects(backUp({ onEvent }), { code: 'VB_FILE_CHANGED', message: /was written to/ });
  });

  it('that lose something meanwhile leave no backup', async function () {
    requireTools(this, ['blkdiscard']);
    const file = lab.path('disk');
    await writeFile(file, randomBytes(4 * MIB));
    using device = attachLoopDevice(this, file);
    await using hypervisor = await filePlugin.connect({}, { container });
    await using snapshot = await hypervisor.snapshot(await hypervisor.find(device.path), REQUEST);
    await run('blkdiscard', '--offset', String(MIB), '--length', String(MIB), device.path);
    await assert.rejects(async () => snapshot.confirm?.(), { code: 'VB_FILE_CHANGED', message: /was written to/ });
  });

  it('are refused while they are mounted for writing, not while they are mounted for reading', async function () {
    requireTools(this, ['findmnt']);
    using mounted = mountFileSystem(this, 'ext4');
    const device = (await run('findmnt', '--noheadings', '--output', 'SOURCE', mounted.path)).trim();
    const backUp = (): Promise<Manifest> => lab.backUp({ plugin: filePlugin, selector: device });
    const refusal = { code: 'VB_IMAGE_LOCKED', message: new RegExp(`mounted at ${mounted.path}`), cure: /lvcreate/ };
    await assert.rejects(backUp(), refusal);
    await run('mount', '-o', 'remount,ro', mounted.path);
    assert.equal((await backUp()).level, 'full');
    assert.deepEqual(lab.warned, []);
  });

  it('that the kernel uses for something are backed up with a warning', async function () {
    const file = lab.path('disk');
    await writeFile(file, randomBytes(MIB));
    using device = attachLoopDevice(this, file);
    // What LVM, RAID and mounts do to a device.
    const claim = await open(device.path, constants.O_RDONLY + constants.O_EXCL);
    try {
      await lab.backUp({ plugin: filePlugin, selector: device.path });
    } finally {
      await claim.close();
    }
    assert.deepEqual(lab.warned, ['VB_IMAGE_LOCKED']);
    await lab.backUp({ plugin: filePlugin, selector: device.path });
    assert.deepEqual(lab.warned, []);
  });

  it('of which a part cannot be read end with the offset', async function () {
    const file = lab.path('disk');
    await writeFile(file, randomBytes(8 * MIB));
    using device = attachLoopDevice(this, file);
    // The device keeps its size, and what lies behind the end of its file cannot be read.
    await truncate(file, 5 * MIB);
    await assert.rejects(lab.backUp({ plugin: filePlugin, selector: device.path }), {
      code: 'VB_IO',
      message: new RegExp(`cannot read \\d+ bytes at [5-8]\\d{6} of ${device.path}: EIO$`),
    });
  });
});
