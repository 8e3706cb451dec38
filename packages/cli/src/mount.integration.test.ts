import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, chmod, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { requireTools, skipEverywhere } from '@vbackup/core/testing';
import { guestImage, LIBVIRT_GUEST_TOOLS } from '@vbackup/lab';
import { BIN } from './testing/command.js';
import { CommandFolder } from './testing/command-folder.js';

const run = promisify(execFile);
const MIB = 2 ** 20;

describe('vbackup mount', function () {
  this.timeout(120_000);
  let folder: CommandFolder;
  let content: Buffer;

  before(async function () {
    requireTools(this, ['nbdfuse']);
    await access('/dev/fuse', constants.R_OK + constants.W_OK).catch(() => skipEverywhere(this, 'no /dev/fuse'));
    folder = await CommandFolder.make();
    content = randomBytes(2 * MIB);
    await folder.file('web.raw', 4 * MIB, [{ offset: MIB, bytes: content }]);
    await folder.done('backup --hypervisor file web.raw -r repo');
    await mkdir(folder.at('mnt'));
  });
  after(() => folder?.[Symbol.asyncDispose]());

  /** Runs until the paths are told. */
  const mount = async (
    line: string,
    more: NodeJS.ProcessEnv = {},
  ): Promise<{ child: ChildProcess; closed: Promise<unknown[]>; paths: string[] }> => {
    const args = [BIN, 'mount', ...line.split(' '), '-r', 'repo'];
    const { PATH } = process.env;
    const env = { PATH, HOME: '/nowhere', VBACKUP_CONFIG: '/dev/null', TMPDIR: folder.at('tmp'), ...more };
    await mkdir(folder.at('tmp'), { recursive: true });
    const child = spawn(process.execPath, args, { cwd: folder.path, env, stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    let out = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    while (!out.includes('\n') && child.exitCode === null) await delay(10);
    assert.equal(child.exitCode, null, out);
    return { child, closed, paths: out.trimEnd().split('\n') };
  };

  const nothingIsLeft = async (): Promise<void> => {
    while ((await readFile('/proc/self/mountinfo', 'utf8')).includes(folder.path)) await delay(10);
    assert.deepEqual(await readdir(folder.at('mnt')), []);
    assert.deepEqual(await readdir(folder.at('tmp')), []);
  };

  it('shows a disk as a file until it is unmounted', async () => {
    const { closed, paths } = await mount('web.raw@latest mnt');
    assert.deepEqual(paths, [folder.at('mnt/web.raw')]);
    const bytes = await readFile(folder.at('mnt/web.raw'));
    assert.equal(bytes.length, 4 * MIB);
    assert.ok(bytes.subarray(MIB, 3 * MIB).equals(content));
    assert.match(await folder.done('umount mnt'), /mnt\/web\.raw is unmounted/);
    assert.deepEqual(await closed, [0, null]);
    await nothingIsLeft();
    await folder.refused('umount mnt', 10, 'VB_MOUNT_NOT_FOUND');
  });

  it('keeps what is written where it is told to, and ends at a signal', async () => {
    for (const round of [0, 1]) {
      const { child, closed, paths } = await mount('web.raw@latest mnt --writable kept');
      {
        await using file = await open(paths[0] ?? '', 'r+');
        const found = Buffer.alloc(9);
        await file.read(found, 0, 9, 3 * MIB);
        assert.equal(found.toString(), round === 0 ? '\0'.repeat(9) : 'fixed web');
        await file.write('fixed web', 3 * MIB);
        await file.sync();
      }
      child.kill('SIGTERM');
      assert.deepEqual(await closed, [0, null]);
      await nothingIsLeft();
    }
    await folder.done('verify web.raw@latest -r repo');
  });

  it('takes its mounts with it when it is killed', async () => {
    const { child, closed } = await mount('web.raw@latest mnt');
    child.kill('SIGKILL');
    await closed;
    while ((await readFile('/proc/self/mountinfo', 'utf8')).includes(folder.path)) await delay(10);
    assert.deepEqual(await readdir(folder.at('mnt')), ['web.raw'], 'the empty file to mount over is left');
    await rm(folder.at('tmp'), { recursive: true });
    const again = await mount('web.raw@latest mnt');
    await folder.done('umount mnt');
    assert.deepEqual(await again.closed, [0, null]);
    await nothingIsLeft();
    await writeFile(folder.at('mnt/web.raw'), '');
    await folder.refused('mount web.raw@latest mnt -r repo', 1, 'VB_TARGET_EXISTS');
    await rm(folder.at('mnt/web.raw'));
  });

  it('says what guestmount says, and what is missing', async () => {
    const bin = await mkdtemp(folder.at('bin-'));
    await writeFile(`${bin}/guestmount`, '#!/bin/sh\necho "libguestfs: error: called with $*" >&2\nexit 1\n');
    await chmod(`${bin}/guestmount`, 0o755);
    await mkdir(folder.at('files'));
    const line = 'mount web.raw@latest files --files -r repo';
    const { err } = await folder.run(line, { env: { PATH: `${bin}${delimiter}${process.env['PATH']}` } });
    assert.match(err, /\[VB_MOUNT_FAILED\]/);
    assert.match(err, /called with --no-fork --ro .* -a nbd:\/\/\/web\?socket=\S+ -i \S+files/);
    const missing = await folder.run(line, { env: { PATH: bin.replace(/bin-.*/, 'tmp') } });
    assert.match(missing.err, /guestmount is not installed.*\[VB_MOUNT_MISSING\]/s);
    assert.deepEqual(await readdir(folder.at('files')), []);
  });

  describe('with guestmount', function () {
    this.timeout(300_000);
    let environment: NodeJS.ProcessEnv;

    before(async function () {
      requireTools(this, ['guestmount', 'supermin', 'depmod', 'mkfs.ext4', 'debugfs', ...LIBVIRT_GUEST_TOOLS]);
      await access('/lib/modules').catch(() => skipEverywhere(this, 'no /lib/modules, which supermin wants'));
      const { kernel, modules, release } = await guestImage();
      await mkdir(folder.at('guestfs'));
      environment = {
        LIBGUESTFS_BACKEND: 'direct',
        // KVM inside of virtual machines has not always what QEMU's largest processor asks for.
        LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg',
        LIBGUESTFS_CACHEDIR: folder.at('guestfs'),
        SUPERMIN_KERNEL: kernel,
        SUPERMIN_KERNEL_VERSION: release,
        SUPERMIN_MODULES: modules,
      };
      await makeSystemDisk();
      await folder.done('backup --hypervisor file system.raw -r repo');
    });

    /** As little as makes a Linux for guestmount (inspect_fs_unix.ml of guestfs: folders, a release, a shell). */
    const makeSystemDisk = async (): Promise<void> => {
      const root = folder.at('root');
      for (const name of ['bin', 'boot', 'etc', 'home', 'usr/bin', 'var/lib/dpkg']) {
        await mkdir(`${root}/${name}`, { recursive: true });
      }
      await writeFile(`${root}/etc/os-release`, 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n');
      await writeFile(`${root}/etc/debian_version`, '12.5\n');
      await writeFile(`${root}/etc/fstab`, '/dev/sda / ext4 defaults 0 1\n');
      await writeFile(`${root}/home/letter`, 'from the guest\n');
      await folder.file('system.raw', 32 * MIB, []);
      await run('mkfs.ext4', ['-q', '-d', root, folder.at('system.raw')]);
    };

    it('shows the files of the system that it finds on the disks', async () => {
      const { closed, paths } = await mount('system.raw@latest mnt --files', environment);
      assert.deepEqual(paths, [folder.at('mnt')]);
      assert.equal(await readFile(folder.at('mnt/home/letter'), 'utf8'), 'from the guest\n');
      await assert.rejects(writeFile(folder.at('mnt/home/answer'), ''), { code: 'EROFS' });
      await folder.done('umount mnt');
      assert.deepEqual(await closed, [0, null]);
      await nothingIsLeft();
    });

    it('shows the files of a file system that is named, and keeps what is written', async () => {
      const line = 'system.raw@latest mnt --filesystem /dev/sda --writable answers';
      const { child, closed } = await mount(line, environment);
      await writeFile(folder.at('mnt/home/answer'), 'from the host\n');
      child.kill('SIGTERM');
      assert.deepEqual(await closed, [0, null]);
      await nothingIsLeft();
      const disk = await mount('system.raw@latest mnt --writable answers');
      const { stdout } = await run('debugfs', ['-R', 'cat /home/answer', disk.paths[0] ?? '']);
      assert.equal(stdout, 'from the host\n');
      await folder.done('umount mnt');
      await disk.closed;
      await nothingIsLeft();
    });
  });
});
