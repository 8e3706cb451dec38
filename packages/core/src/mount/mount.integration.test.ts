import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { NbdServer } from '../nbd/index.js';
import { MemoryExport, requireMounts, requireTools, skipEverywhere } from '../testing/index.js';
import { mountTable } from './fuse-program.js';
import { type MountedDisk, mountFiles, mountImages } from './mount-disks.js';
import { unmount } from './unmount.js';

const SIZE = 3 * 1024 * 1024;

describe('disks mounted by nbdfuse and guestmount', function () {
  this.timeout(60_000);
  const path = process.env['PATH'] ?? '';
  let folder: string;
  let directory: string;
  let server: NbdServer;
  let contents: Map<string, Buffer>;
  let written: MemoryExport;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-mount-'));
    directory = await mkdtemp(join(folder, 'a folder '));
    contents = new Map([
      ['vda', randomBytes(SIZE)],
      ['web/vdb', randomBytes(SIZE)],
    ]);
    written = new MemoryExport({ size: SIZE });
    server = await NbdServer.listen({
      address: { kind: 'unix', path: join(folder, 'nbd.sock') },
      open: async (name) => {
        if (name === 'writable') return written;
        const content = contents.get(name);
        if (content === undefined) return null;
        const disk = new MemoryExport({ size: SIZE });
        await disk.write(0, content);
        return { ...named(disk), readOnly: true };
      },
    });
  });
  afterEach(async () => {
    process.env['PATH'] = path;
    await server.close();
    await rm(folder, { recursive: true });
  });

  const diskOf = (name: string, writable = false): MountedDisk => {
    const uri = `nbd+unix:///${encodeURIComponent(name)}?socket=${encodeURIComponent(join(folder, 'nbd.sock'))}`;
    return { name, uri, writable };
  };
  const mountsHere = async () => (await mountTable()).filter((entry) => entry.path.startsWith(folder));
  const nothingIsLeft = async (): Promise<void> => {
    assert.deepEqual(await mountsHere(), []);
    assert.deepEqual(await readdir(directory), []);
  };

  describe('where FUSE can be used', () => {
    before(async function () {
      requireTools(this, ['nbdfuse']);
      await access('/dev/fuse', constants.R_OK + constants.W_OK).catch(() => skipEverywhere(this, 'no /dev/fuse'));
    });

    it('are files with the bytes of the disks, which nobody can write', async () => {
      const disks = [...contents.keys()].map((name) => diskOf(name));
      {
        await using mount = await mountImages({ directory, disks });
        assert.deepEqual(mount.paths, [join(directory, 'vda.raw'), join(directory, 'web-vdb.raw')]);
        for (const [index, content] of [...contents.values()].entries()) {
          assert.ok(content.equals(await readFile(mount.paths[index] ?? '')));
        }
        await assert.rejects(writeFile(mount.paths[0] ?? '', 'x', { flag: 'r+' }), { code: /EACCES|EPERM|EROFS/ });
        await assert.rejects(mountImages({ directory, disks }), { code: 'VB_TARGET_EXISTS', cure: /umount/ });
      }
      await nothingIsLeft();
    });

    it('can be written where the export can', async () => {
      await using mount = await mountImages({ directory, disks: [diskOf('writable', true)] });
      {
        await using file = await open(mount.paths[0] ?? '', 'r+');
        await file.write(Buffer.from('from the guest'), 0, 14, 5000);
        await file.sync();
      }
      const bytes = Buffer.alloc(14);
      await written.read(5000, bytes);
      assert.equal(bytes.toString(), 'from the guest');
    });

    it('end when somebody unmounts them, by any name of the folder', async () => {
      const other = join(folder, 'link');
      await symlink(directory, other);
      await using mount = await mountImages({ directory, disks: [diskOf('vda'), diskOf('web/vdb')] });
      assert.deepEqual(await unmount(other), mount.paths);
      await mount.ended;
      await mount[Symbol.asyncDispose]();
      await nothingIsLeft();
      await assert.rejects(unmount(directory), { code: 'VB_MOUNT_NOT_FOUND', cure: /findmnt/ });
    });

    it('are not unmounted while they are in use, but end with their mount all the same', async () => {
      const mount = await mountImages({ directory, disks: [diskOf('vda')] });
      {
        await using _file = await open(mount.paths[0] ?? '', 'r');
        await assert.rejects(unmount(directory), { code: 'VB_MOUNT_FAILED', message: /busy/i, cure: /fuser/ });
        await mount[Symbol.asyncDispose]();
      }
      await nothingIsLeft();
    });

    it('leave nothing where one of several cannot be mounted', async () => {
      const disks = [diskOf('vda'), diskOf('no such disk')];
      await assert.rejects(mountImages({ directory, disks }), {
        code: 'VB_MOUNT_FAILED',
        message: /nbdfuse cannot mount .*no such disk\.raw: .*export/,
      });
      await nothingIsLeft();
    });
  });

  it('need a folder, their programs and the device, and say which of them is missing', async () => {
    const disks = [diskOf('vda')];
    await assert.rejects(mountImages({ directory: join(folder, 'none'), disks }), { code: 'VB_FILE_NOT_FOUND' });
    await fake('nbdfuse', 'exit 1');
    await assert.rejects(mountImages({ directory, disks, device: join(folder, 'fuse') }), {
      code: 'VB_MOUNT_MISSING',
      message: /fuse is not there/,
      cure: /modprobe fuse/,
    });
    process.env['PATH'] = folder;
    await assert.rejects(mountImages({ directory, disks }), {
      code: 'VB_MOUNT_MISSING',
      message: 'nbdfuse is not installed, or not in PATH',
      cure: /apt install libnbd-bin/,
    });
    await assert.rejects(mountFiles({ directory, disks }), {
      code: 'VB_MOUNT_MISSING',
      cure: /apt install guestmount/,
    });
    await nothingIsLeft();
  });

  it('are given to guestmount with their format, all at once, and end with it', async function () {
    requireMounts(this);
    // It mounts something, as guestmount does, and ends when it is asked to or when it was unmounted.
    await fake(
      'guestmount',
      `printf '%s\\n' "$@" > ${join(folder, 'arguments')}
for path; do :; done
mount -t tmpfs vbackup "$path"
trap 'umount "$path"; exit 0' TERM
while grep -q "vbackup-mount" /proc/self/mountinfo; do sleep 0.05; done`,
    );
    const disks = [diskOf('vda'), diskOf('web/vdb')];
    {
      await using mount = await mountFiles({ directory, disks, device: '/dev/null' });
      assert.deepEqual(mount.paths, [directory]);
    }
    {
      await using _mount = await mountFiles({ directory, disks, device: '/dev/null' });
      // Nobody here can unmount: guestmount is asked by a signal then, and does it.
      process.env['PATH'] = folder;
    }
    await nothingIsLeft();
    const [vda, vdb] = disks.map(({ uri }) => uri.replace('nbd+unix:', 'nbd:'));
    const args = (await readFile(join(folder, 'arguments'), 'utf8')).trimEnd();
    const expected = `--no-fork\n--ro\n-o\nfsname=vbackup\n--format=raw\n-a\n${vda}\n--format=raw\n-a\n${vdb}\n-i\n${directory}`;
    assert.equal(args, expected);
    await nothingIsLeft();
    await writeFile(join(directory, 'x'), '');
    await assert.rejects(mountFiles({ directory, disks }), { code: 'VB_TARGET_EXISTS', message: /is not empty/ });
    await rm(join(directory, 'x'));
    await fake('guestmount', 'echo "libguestfs: error: guestfs_launch failed." >&2; exit 1');
    await assert.rejects(mountFiles({ directory, disks, device: '/dev/null' }), {
      code: 'VB_MOUNT_FAILED',
      message: /does not start$/,
      cure: /libguestfs-test-tool/,
    });
    await fake('guestmount', 'echo "guestmount: no operating system was found on this disk" >&2; exit 1');
    await assert.rejects(mountFiles({ directory, disks, device: '/dev/null' }), {
      code: 'VB_MOUNT_FAILED',
      message: /: no operating system was found on these disks$/,
      cure: /--filesystem \/dev\/sda1/,
    });
    await nothingIsLeft();
  });

  const fake = async (name: string, script: string): Promise<void> => {
    const bin = await mkdtemp(join(folder, 'bin-'));
    await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`);
    await chmod(join(bin, name), 0o755);
    process.env['PATH'] = `${bin}${delimiter}${path}`;
  };
});

/** What an export is made of, its methods bound. */
function named(disk: MemoryExport) {
  return { name: disk.name, size: disk.size, read: disk.read.bind(disk) };
}
