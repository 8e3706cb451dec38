import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, realpath, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { QemuNbd } from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { BIN, type CommandOptions, type CommandResult, runCommand, runProgram } from './testing/command.js';
import { parseJsonLines } from './testing/json-promise.js';

const MIB = 2 ** 20;
const run = promisify(execFile);

const idOf = (line: string): string => /^[0-9a-f]{16}/.exec(line)?.[0] ?? assert.fail(`no id in ${line}`);

describe('vbackup of images', function () {
  this.timeout(120_000);
  let folder: string;
  const vbackup = (line: string, options: CommandOptions = {}): Promise<CommandResult> =>
    runCommand(line.split(' '), { cwd: folder, ...options });
  const done = async (line: string): Promise<string> => {
    const { code, out, err } = await vbackup(line);
    assert.equal(code, 0, `vbackup ${line}\n${out}${err}`);
    return out;
  };
  const refused = async (line: string, exitCode: number, code: string): Promise<string> => {
    const { code: ended, out, err } = await vbackup(line);
    assert.equal(ended, exitCode, `vbackup ${line}\n${out}${err}`);
    assert.match(err, new RegExp(`\\[${code}\\]`));
    return err;
  };
  const assertSame = async (one: string, other: string): Promise<void> =>
    assert.ok(
      (await readFile(join(folder, one))).equals(await readFile(join(folder, other))),
      `${one} is not ${other}`,
    );

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-cli-'));
    const disk = join(folder, 'disk.raw');
    await writeFile(disk, randomBytes(2 * MIB));
    await truncate(disk, 32 * MIB + 4711);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('needs no option: a full, an increment of what differs, and both come back', async () => {
    const full = idOf(await done('--hypervisor file disk.raw -r repo'));
    await run('cp', ['--sparse=always', 'disk.raw', 'first.raw'], { cwd: folder });
    const file = await open(join(folder, 'disk.raw'), 'r+');
    await file.write(randomBytes(1000), 0, 1000, 20 * MIB + 5);
    await file.close();
    const out = await done('--hypervisor file disk.raw -r repo');
    const increment = idOf(out);
    assert.match(out, / inc of \S+disk\.raw: /);
    assert.match(await done(`info ${increment} -r repo`), /changes found by digests$/m);
    const json = await done(`info ${increment} -r repo --json`);
    parseJsonLines(json.trimEnd().split('\n'));
    assert.match(json, /"dataLength":65536,/);
    assert.equal((await done('verify -r repo')).match(/ good /g)?.length, 2);
    await done(`restore ${full} one.raw -r repo`);
    await done('restore disk.raw@latest two.raw -r repo');
    await assertSame('one.raw', 'first.raw');
    await assertSame('two.raw', 'disk.raw');
    const { stdout } = await run('du', ['--block-size=1', join(folder, 'two.raw')]);
    assert.ok(Number.parseInt(stdout, 10) < 4 * MIB, stdout);
  });

  it('goes on with the others where one fails, and says so with its exit code', async () => {
    await writeFile(join(folder, 'other.raw'), randomBytes(MIB));
    const { code, out, err } = await vbackup('--hypervisor file disk.raw none.raw other.raw -r repo');
    assert.equal(code, 3);
    assert.equal(out.match(/ full \(first-backup\) of /g)?.length, 2);
    assert.match(err, /there is no \S+none\.raw \[VB_GUEST_NOT_FOUND\]/);
    await refused('--hypervisor file none.raw -r repo', 10, 'VB_GUEST_NOT_FOUND');
    await refused('--hypervisor file . -r repo', 2, 'VB_FILE_TYPE');
    await refused('--hypervisor nbd disk.raw -r repo', 2, 'VB_NBD_URI');
    await refused('--hypervisor file disk.raw --file-format floppy -r repo', 2, 'VB_PLUGIN_OPTION');
    await refused('--hypervisor file disk.raw --file-format qcow2 -r repo', 2, 'VB_IMAGE_FORMAT');
  });

  it('is named by its path where two images have one name', async () => {
    await mkdir(join(folder, 'other'));
    await writeFile(join(folder, 'other/disk.raw'), randomBytes(MIB));
    await done('--hypervisor file disk.raw other/disk.raw -r repo');
    await refused('info disk.raw@latest -r repo', 2, 'VB_BACKUP_AMBIGUOUS');
    const guest = join(await realpath(folder), 'other/disk.raw');
    assert.match(await done(`info ${guest}@latest -r repo`), new RegExp(`^guest +${guest} `, 'm'));
    const map = await done(`map other/disk.raw --changed-since ${guest}@latest -r repo`);
    assert.equal(map.trim(), (await done(`map ${guest}@latest --changed-since ${guest}@latest -r repo`)).trim());
    await refused(`map ${guest}x@latest -r repo`, 10, 'VB_BACKUP_NOT_FOUND');
    await refused(`map ${guest}x -r repo`, 10, 'VB_FILE_NOT_FOUND');
  });

  it('is refused by a file that this user may not read', async function () {
    requireTools(this, ['setpriv']);
    await writeFile(join(folder, 'secret.raw'), randomBytes(MIB), { mode: 0o000 });
    // Root may read anything; without its capabilities it is a user like others.
    const args = ['--bounding-set=-all', '--inh-caps=-all', process.execPath, BIN];
    const { code, err } = await runProgram('setpriv', [...args, '--hypervisor', 'file', 'secret.raw', '-r', 'repo'], {
      cwd: folder,
    });
    assert.equal(code, 12, err);
    assert.match(err, /secret\.raw: EACCES \[VB_ACCESS_DENIED\]/);
  });

  it('knows qcow2, its dirty bitmap by its short flag, and a machine that runs', async function () {
    requireTools(this, ['qemu-img', 'qemu-nbd', 'qemu-io']);
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'vm.qcow2'], { cwd: folder });
    await run('qemu-img', ['bitmap', '--add', 'vm.qcow2', 'b0'], { cwd: folder });
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write 1M 64k', 'vm.qcow2'], { cwd: folder });
    await done('--hypervisor file vm.qcow2 --bitmap b0 -r repo');
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write 9M 64k', 'vm.qcow2'], { cwd: folder });
    const increment = idOf(await done('--hypervisor file vm.qcow2 --bitmap b0 -r repo'));
    assert.match(await done(`info ${increment} -r repo`), /changes found by dirty-bitmap$/m);
    await done(`restore ${increment} vm.raw -r repo`);
    await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', 'vm.qcow2', 'plain'], { cwd: folder });
    await assertSame('vm.raw', 'plain');
    const path = join(folder, 'vm.qcow2');
    await using _machine = await QemuNbd.start({ path, format: 'qcow2', readOnly: false, connections: 1 });
    const err = await refused('--hypervisor file vm.qcow2 -r repo', 11, 'VB_IMAGE_LOCKED');
    assert.match(err, /--hypervisor libvirt/);
  });

  it('reads an export of a server, with a dirty bitmap by its short flag', async function () {
    requireTools(this, ['qemu-nbd', 'qemu-img']);
    const path = join(folder, 'disk.raw');
    await using server = await QemuNbd.start({
      path,
      format: 'raw',
      readOnly: true,
      connections: 8,
      exportName: 'vda',
    });
    const uri = `nbd+unix:///vda?socket=${join(server.folder, 'nbd.sock')}`;
    const { code, err } = await vbackup(`--hypervisor nbd ${uri} --dirty-bitmap qemu:dirty-bitmap:b0 -r repo`);
    assert.equal(code, 0, err);
    assert.match(err, /\[VB_BITMAP_UNTRUSTED\]/);
  });

  it('leaves no server running when it is killed, and the next run removes what is left', async function () {
    requireTools(this, ['qemu-img', 'qemu-nbd', 'qemu-io', 'setpriv']);
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', 'vm.qcow2', '1G'], { cwd: folder });
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -q 0 256M', 'vm.qcow2'], { cwd: folder });
    const tmp = join(folder, 'tmp');
    await mkdir(tmp);
    const options = { env: { TMPDIR: tmp } };
    let pid = 0;
    const { code, err } = await vbackup('--hypervisor file vm.qcow2 -r repo', {
      ...options,
      onText: (text, child) => {
        if (!text.includes('full')) return;
        const [server = ''] = readdirSync(tmp);
        pid = Number(readFileSync(join(tmp, server, 'pid'), 'utf8'));
        child.kill('SIGKILL');
      },
    });
    assert.equal(code, 137, err);
    assert.ok(pid > 0);
    const deadline = AbortSignal.timeout(20_000);
    while (existsSync(`/proc/${pid}/exe`)) await delay(20, undefined, { signal: deadline });
    assert.equal((await readdir(tmp)).length, 1);
    const again = await vbackup('--hypervisor file vm.qcow2 -r repo', options);
    assert.equal(again.code, 0, again.err);
    assert.deepEqual(await readdir(tmp), []);
  });
});
