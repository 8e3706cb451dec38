import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NbdClient } from '../nbd/index.js';
import { RestoreNote } from '../storage/restore-note.js';
import { attachLoopDevice } from '../testing/index.js';
import { requireTools } from '../testing/tools.js';
import { openImageDevice } from './image-device.js';
import { QemuNbd } from './qemu-nbd.js';
import { imageInfo } from './query-image.js';

const MiB = 1024 * 1024;

describe('openImageDevice', () => {
  let folder: string;
  let path: string;

  before(function () {
    requireTools(this, ['qemu-img', 'qemu-nbd']);
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-device-'));
    path = join(folder, 'disk');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('reads and writes a raw file where it lies, also the end of one that is no whole sector', async () => {
    await writeFile(path, Buffer.alloc(MiB + 100, 'old'));
    {
      await using device = await openImageDevice(path, { format: 'raw' })({ size: MiB + 100, label: 'disk' });
      assert.equal(device.size, MiB + 512);
      const tail = Buffer.alloc(512);
      await device.read(MiB, tail);
      assert.ok(tail.subarray(0, 100).equals(Buffer.alloc(MiB + 100, 'old').subarray(MiB)));
      await device.write(0, Buffer.alloc(4096, 'new'));
      await device.zero(8192, 4096);
      await device.finish();
    }
    const bytes = await readFile(path);
    assert.deepEqual(
      [bytes.toString('latin1', 0, 3), bytes.toString('latin1', 4098, 4101), bytes[8192], bytes.length],
      ['new', 'old', 0, MiB + 100],
    );
  });

  it('has the bitmaps of a qcow2 record what it writes, and leaves them whole', async () => {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '4M']);
    execFileSync('qemu-img', ['bitmap', '--add', '-g', '65536', path, 'b0']);
    {
      await using device = await openImageDevice(path, { format: 'qcow2' })({ size: 4 * MiB, label: 'disk' });
      await device.write(MiB, Buffer.alloc(65_536, 1));
      await device.finish();
    }
    const { bitmaps } = await imageInfo(path, { format: 'qcow2' });
    assert.deepEqual(bitmaps, [{ name: 'b0', granularity: 65_536, auto: true, inUse: false }]);
    await using server = await QemuNbd.start({ path, format: 'qcow2', readOnly: true, bitmap: 'b0', connections: 1 });
    const context = 'qemu:dirty-bitmap:b0';
    await using client = await NbdClient.connect({ address: server.address, exportName: '', metaContexts: [context] });
    const dirty: unknown[] = [];
    for await (const { offset, length, flags } of client.blockStatus(context, { offset: 0, length: 4 * MiB })) {
      if (flags !== 0) dirty.push({ offset, length });
    }
    assert.deepEqual(dirty, [{ offset: MiB, length: 65_536 }]);
  });

  it('refuses another size, a folder, nothing, and what another one writes to', async () => {
    await writeFile(path, Buffer.alloc(MiB));
    const openDevice = openImageDevice(path, { format: 'raw' });
    for (const size of [MiB - 1024, MiB + 1]) {
      await assert.rejects(openDevice({ size, label: 'disk' }), { code: 'VB_TARGET_SIZE' });
    }
    await mkdir(join(folder, 'sub'));
    const specification = { size: MiB, label: 'disk' };
    const other = (name: string) => openImageDevice(join(folder, name), { format: 'raw' })(specification);
    await assert.rejects(other('sub'), { code: 'VB_TARGET_INVALID' });
    await assert.rejects(other('none'), { code: 'VB_IO' });
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, String(MiB)]);
    const openImage = openImageDevice(path, { format: 'qcow2' });
    await using _device = await openImage(specification);
    await assert.rejects(openImage(specification), { code: 'VB_IMAGE_LOCKED' });
  });

  it('leaves a note beside an image that was not finished, which the next one that is takes away', async () => {
    await writeFile(path, Buffer.alloc(MiB));
    const link = join(folder, 'link');
    await symlink(path, link);
    const openDevice = openImageDevice(link, { format: 'raw' });
    {
      await using device = await openDevice({ size: MiB, label: 'vda of web' });
      assert.equal(await RestoreNote.warningFor(path), null, 'nothing is written yet');
      await Promise.all([device.write(0, Buffer.alloc(512, 1)), device.write(512, Buffer.alloc(512, 2))]);
    }
    const warning = await RestoreNote.warningFor(link);
    assert.deepEqual(warning?.code, 'VB_TARGET_MIXED');
    assert.match(await readFile(`${path}.restoring`, 'utf8'), /vbackup restores vda of web into this image/);
    {
      await using device = await openDevice({ size: MiB, label: 'vda of web' });
      await device.finish();
    }
    assert.deepEqual((await readdir(folder)).sort(), ['disk', 'link']);
  });

  it('is opened once at a time, also where the image is raw, which QEMU lets several qemu-nbd write', async () => {
    await writeFile(path, Buffer.alloc(MiB));
    const openDevice = openImageDevice(path, { format: 'raw' });
    const specification = { size: MiB, label: 'disk' };
    {
      await using _device = await openDevice(specification);
      await assert.rejects(openDevice(specification), { code: 'VB_IMAGE_LOCKED', message: /another vbackup/ });
    }
    await using _again = await openDevice(specification);
  });

  it('refuses a block device that is in use, and takes it when it is free', async function () {
    await writeFile(path, Buffer.alloc(MiB));
    using loop = attachLoopDevice(this, path);
    const openDevice = openImageDevice(loop.path, { format: 'raw' });
    {
      await using _held = await open(loop.path, constants.O_RDONLY + constants.O_EXCL);
      await assert.rejects(openDevice({ size: MiB, label: 'disk' }), { code: 'VB_TARGET_INVALID', message: /in use/ });
    }
    await using device = await openDevice({ size: MiB, label: 'disk' });
    await assert.rejects(open(loop.path, constants.O_RDONLY + constants.O_EXCL), { code: 'EBUSY' });
    await device.write(0, Buffer.alloc(512, 7));
    await device.finish();
    assert.equal((await readFile(loop.path))[0], 7);
  });
});
