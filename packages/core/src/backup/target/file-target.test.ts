import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OpenTarget } from '../../hypervisor/index.js';
import { attachLoopDevice, type LoopDevice } from '../../testing/index.js';
import { openFileTarget } from './file-target.js';

const MiB = 1024 * 1024;
const CONTENT = Buffer.alloc(MiB, 'vbackup ');

describe('openFileTarget', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-target-'));
    path = join(folder, 'disk.img');
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** One MiB of data in the middle of a disk. */
  const write = async (openTarget: OpenTarget, size: number, finish = true): Promise<void> => {
    await using target = await openTarget({ size, data: [{ offset: MiB, length: MiB }], label: 'test' });
    if (!target.zeroed) await target.zero(0, MiB);
    await target.write(MiB, CONTENT);
    if (!target.zeroed) await target.zero(2 * MiB, size - 2 * MiB);
    if (finish) await target.finish();
  };
  const expected = (size: number): Buffer => {
    const bytes = Buffer.alloc(size);
    CONTENT.copy(bytes, MiB);
    return bytes;
  };

  it('makes a sparse file of the disk’s size', async () => {
    await write(openFileTarget(path), 64 * MiB + 512);
    assert.ok((await readFile(path)).equals(expected(64 * MiB + 512)));
    assert.ok((await stat(path)).blocks * 512 < 8 * MiB);
    assert.deepEqual(await readdir(folder), ['disk.img']);
  });

  it('makes a file that has its place for every byte when it is not to be sparse', async () => {
    await write(openFileTarget(path, { sparse: false }), 8 * MiB + 512);
    assert.ok((await readFile(path)).equals(expected(8 * MiB + 512)));
    assert.ok((await stat(path)).blocks * 512 >= 8 * MiB + 512);
  });

  it('leaves nothing when it is not finished', async () => {
    await write(openFileTarget(path), 4 * MiB, false);
    assert.deepEqual(await readdir(folder), []);
  });

  it('refuses a file that exists; by force replaces it when it is complete', async () => {
    await writeFile(path, Buffer.alloc(9 * MiB, 'old'));
    await assert.rejects(write(openFileTarget(path), 4 * MiB), { code: 'VB_TARGET_EXISTS' });
    await write(openFileTarget(path, { force: true }), 4 * MiB, false);
    assert.equal((await readFile(path)).toString('latin1', 0, 3), 'old');
    await write(openFileTarget(path, { force: true }), 4 * MiB);
    assert.ok((await readFile(path)).equals(expected(4 * MiB)));
  });

  it('writes to no file that a link under the unfinished name points to', async () => {
    const victim = join(folder, 'victim');
    await writeFile(victim, 'precious');
    await symlink(victim, `${path}.partial`);
    await write(openFileTarget(path), 4 * MiB);
    assert.equal((await readFile(victim)).toString(), 'precious');
    assert.deepEqual(await readdir(folder), ['disk.img', 'victim']);
  });

  it('replaces the file that a link points to, with its permissions, and no link that points nowhere', async () => {
    const linked = join(folder, 'link');
    await symlink(path, linked);
    await assert.rejects(write(openFileTarget(linked), 4 * MiB), { code: 'VB_TARGET_INVALID' });
    await writeFile(path, 'old');
    await chmod(path, 0o640);
    await write(openFileTarget(linked, { force: true }), 4 * MiB);
    assert.ok((await readFile(path)).equals(expected(4 * MiB)));
    assert.equal((await stat(path)).mode % 0o1000, 0o640);
    assert.deepEqual(await readdir(folder), ['disk.img', 'link']);
  });

  it('forgets that a restore into the file that it replaces did not end', async () => {
    await writeFile(path, 'mixed');
    await writeFile(`${path}.restoring`, 'a note');
    await write(openFileTarget(path, { force: true }), 4 * MiB);
    assert.deepEqual(await readdir(folder), ['disk.img']);
  });

  it('takes no name that someone else took in the meantime', async () => {
    const target = await openFileTarget(path)({ size: MiB, data: [], label: 'test' });
    await writeFile(path, 'of someone else');
    await assert.rejects(target.finish(), { code: 'VB_TARGET_EXISTS', cure: /--force/ });
    await target[Symbol.asyncDispose]();
    assert.equal((await readFile(path)).toString(), 'of someone else');
    assert.deepEqual(await readdir(folder), ['disk.img']);
  });

  it('refuses a second restore to one file while the first is at work, and takes the place of one that died', async () => {
    const specification = { size: 2 * MiB, data: [], label: 'test' };
    {
      await using first = await openFileTarget(path)(specification);
      await first.write(0, CONTENT);
      await assert.rejects(openFileTarget(path)(specification), {
        code: 'VB_IMAGE_LOCKED',
        message: /another vbackup/,
      });
      await first.write(MiB, CONTENT);
      await first.finish();
    }
    assert.ok((await readFile(path)).equals(Buffer.alloc(2 * MiB, CONTENT)));
    await writeFile(`${path}.partial`, 'of a dead run');
    await write(openFileTarget(path, { force: true }), 4 * MiB);
    assert.ok((await readFile(path)).equals(expected(4 * MiB)));
  });

  it('never mixes two restores to one file, where the file system has no locks', async () => {
    const specification = { size: 2 * MiB, data: [], label: 'test' };
    await using first = await openFileTarget(path)(specification);
    await first.write(0, CONTENT);
    // What a second one does that sees no lock.
    await rm(`${path}.partial`);
    {
      await using second = await openFileTarget(path)(specification);
      await second.write(MiB, CONTENT);
      await assert.rejects(first.finish(), { code: 'VB_FILE_CHANGED' });
      await second.finish();
    }
    assert.ok((await readFile(path)).equals(expected(2 * MiB)));
  });

  it('refuses what is no file, and a folder that is not there', async () => {
    await mkdir(path);
    await assert.rejects(write(openFileTarget(path, { force: true }), MiB), { code: 'VB_TARGET_INVALID' });
    await assert.rejects(write(openFileTarget(join(folder, 'no', 'disk')), MiB), { code: 'VB_IO' });
  });

  describe('on a block device', () => {
    let backing: string;
    let device: LoopDevice;

    beforeEach(async function () {
      backing = join(folder, 'backing');
      await writeFile(backing, Buffer.alloc(8 * MiB, 'old'));
      device = attachLoopDevice(this, backing);
    });
    afterEach(() => device?.[Symbol.dispose]());

    it('makes the rest read as zero, without force, and without blocks where the device can', async () => {
      await write(openFileTarget(device.path), 8 * MiB);
      assert.ok((await readFile(device.path)).equals(expected(8 * MiB)));
      assert.ok((await stat(backing)).blocks * 512 < 2 * MiB);
    });

    it('refuses one that is in use', async () => {
      await using _held = await open(device.path, constants.O_RDONLY + constants.O_EXCL);
      await assert.rejects(write(openFileTarget(device.path), MiB), { code: 'VB_TARGET_INVALID', message: /in use$/ });
    });

    it('refuses a disk that is larger', async () => {
      await assert.rejects(write(openFileTarget(device.path), 8 * MiB + 512), { code: 'VB_TARGET_TOO_SMALL' });
      assert.equal((await readFile(device.path)).toString('latin1', 0, 3), 'old');
    });
  });
});
