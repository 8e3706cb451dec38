import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, chmod, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { requireTools, skipEverywhere } from '@vbackup/core/testing';
import { BIN } from './testing/command.js';
import { CommandFolder } from './testing/command-folder.js';

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
  const mount = async (line: string): Promise<{ child: ChildProcess; closed: Promise<unknown[]>; paths: string[] }> => {
    const args = [BIN, 'mount', ...line.split(' '), '-r', 'repo'];
    const env = { PATH: process.env['PATH'], HOME: '/nowhere', VBACKUP_CONFIG: '/dev/null', TMPDIR: folder.at('tmp') };
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

  it('hands the disks to guestmount, and says what is missing', async () => {
    const bin = await mkdtemp(folder.at('bin-'));
    await writeFile(`${bin}/guestmount`, '#!/bin/sh\necho "no operating system was found: $*" >&2\nexit 1\n');
    await chmod(`${bin}/guestmount`, 0o755);
    await mkdir(folder.at('files'));
    const line = 'mount web.raw@latest files --files -r repo';
    const { err } = await folder.run(line, { env: { PATH: `${bin}${delimiter}${process.env['PATH']}` } });
    assert.match(err, /\[VB_MOUNT_FAILED\]/);
    assert.match(
      err,
      /no operating system was found: --no-fork --ro .* -a nbd\+unix:\/\/\/web\?socket=\S+ -i \S+files/,
    );
    const missing = await folder.run(line, { env: { PATH: bin.replace(/bin-.*/, 'tmp') } });
    assert.match(missing.err, /guestmount is not installed.*\[VB_MOUNT_MISSING\]/s);
    assert.deepEqual(await readdir(folder.at('files')), []);
  });
});
