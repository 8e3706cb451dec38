import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { requireTools } from '@vbackup/core/testing';
import { type LabDomain, LIBVIRT_LAB_TOOLS, type LibvirtLab, startLibvirtLab } from '@vbackup/lab';
import { BIN, type CommandResult, runCommand } from './testing/command.js';

const run = promisify(execFile);
const KIB = 2 ** 10;
const MIB = 2 ** 20;
const SIZES = { vda: 16 * MIB, vdb: 4 * MIB, vdc: 8 * MIB } as const;
type Target = keyof typeof SIZES;

const idOf = (out: string): string => /^[0-9a-f]{16}/m.exec(out)?.[0] ?? assert.fail(`no id in ${out}`);

/** What a disk must hold, by every write that was made to it. */
class Model {
  readonly #disks = new Map<string, Buffer>();

  constructor() {
    for (const [target, size] of Object.entries(SIZES)) this.#disks.set(target, Buffer.alloc(size));
  }

  fill(target: string, offset: number, length: number, value: number): void {
    this.disk(target).fill(value, offset, offset + length);
  }

  disk(target: string): Buffer {
    return this.#disks.get(target) ?? assert.fail(`no disk ${target}`);
  }

  copy(): ReadonlyMap<string, Buffer> {
    return new Map([...this.#disks].map(([target, bytes]) => [target, Buffer.from(bytes)]));
  }
}

describe('vbackup of libvirt guests', function () {
  this.timeout(300_000);
  let lab: LibvirtLab;
  let domain: LabDomain;
  let model: Model;

  const environment = (): Readonly<Record<string, string>> => ({
    VBACKUP_LIBVIRT_URI: lab.uri,
    VBACKUP_LIBVIRT_SCRATCH: lab.images,
    VBACKUP_LIBVIRT_SOCKET_FOLDER: lab.images,
  });
  const vbackup = (line: string): Promise<CommandResult> =>
    runCommand(line.split(' '), { cwd: lab.folder, env: environment() });
  const done = async (line: string): Promise<string> => {
    const { code, out, err } = await vbackup(line);
    assert.equal(code, 0, `vbackup ${line}\n${out}${err}`);
    return out + err;
  };
  const refused = async (line: string, exitCode: number, code: string): Promise<string> => {
    const { code: ended, out, err } = await vbackup(line);
    assert.equal(ended, exitCode, `vbackup ${line}\n${out}${err}`);
    assert.match(err, new RegExp(`\\[${code}\\]`));
    return err;
  };
  const backUp = (selector = 'web', more = ''): Promise<string> =>
    done(`--hypervisor libvirt ${selector} -r repo${more}`);

  const write = async (target: Target, offset: number, length: number, value: number): Promise<void> => {
    await domain.dirty(target, `write -P ${value} ${offset} ${length}`);
    model.fill(target, offset, length, value);
  };
  const zero = async (target: Target, command: string, offset: number, length: number): Promise<void> => {
    await domain.dirty(target, `${command} ${offset} ${length}`);
    model.fill(target, offset, length, 0);
  };

  let restores = 0;
  const assertRestores = async (
    backup: string,
    expected: ReadonlyMap<string, Buffer>,
    targets: readonly string[] = ['vda', 'vdb', 'vdc'],
  ): Promise<void> => {
    for (const target of targets) {
      const bytes = expected.get(target) ?? assert.fail(`no disk ${target}`);
      restores += 1;
      const file = join(lab.folder, `restored-${restores}.raw`);
      await done(`restore ${backup} ${file} --disk ${target} -r repo`);
      assert.ok((await readFile(file)).equals(bytes), `${target} of ${backup} is not what it was`);
      await rm(file);
    }
  };
  /** What the image of a domain that is off holds, as QEMU reads it. */
  const imageOf = async (target: string): Promise<Buffer> => {
    const { path, format } = domain.disk(target);
    const raw = join(lab.folder, `${target}.raw`);
    await run('qemu-img', ['convert', '-f', format, '-O', 'raw', path, raw]);
    return readFile(raw);
  };
  const checkpoints = async (): Promise<readonly string[]> =>
    (await lab.virsh('checkpoint-list', 'web', '--name')).split('\n').filter((line) => line !== '');
  /** Ends vbackup with SIGKILL when its job has begun. */
  const killWhileItReads = async (): Promise<void> => {
    const args = [BIN, ...'--hypervisor libvirt web -r repo'.split(' ')];
    const env = { PATH: process.env['PATH'], HOME: '/nowhere', VBACKUP_CONFIG: '/dev/null', ...environment() };
    const child = spawn(process.execPath, args, { cwd: lab.folder, env, stdio: 'ignore' });
    const closed = once(child, 'close');
    while (!(await readdir(lab.images)).some((name) => name.endsWith('.sock'))) await delay(5);
    child.kill('SIGKILL');
    assert.deepEqual(await closed, [null, 'SIGKILL']);
  };
  /** No job, no scratch file, no socket, and a guest that runs. */
  const assertClean = async (): Promise<void> => {
    const left = (await readdir(lab.images)).filter((name) => name.startsWith('vbackup-'));
    assert.deepEqual([left, await domain.state()], [[], 'running']);
    assert.match(await lab.virsh('domjobinfo', 'web'), /None/);
  };

  before(async function () {
    this.timeout(300_000);
    requireTools(this, LIBVIRT_LAB_TOOLS);
    lab = await startLibvirtLab();
    domain = await lab.define({
      name: 'web',
      guest: 'seabios',
      withoutAgentChannel: true,
      disks: [
        { target: 'vda', size: SIZES.vda },
        { target: 'vdb', size: SIZES.vdb, format: 'raw' },
        { target: 'vdc', size: SIZES.vdc, createOptions: 'cluster_size=4096' },
      ],
    });
    await domain.start();
    model = new Model();
  });
  after(async () => lab?.[Symbol.asyncDispose]());

  it('makes a full and increments of all disks at one instant, and every one comes back byte for byte', async () => {
    await write('vda', MIB, 2 * MIB, 0xaa);
    await write('vdb', 64 * KIB, 256 * KIB, 0xbb);
    await write('vdc', 5 * MIB, MIB, 0xcc);
    const full = await backUp();
    assert.match(full, / full \(first-backup\) of web/);
    const afterFull = model.copy();
    assert.match((await checkpoints()).join(), /^vbackup-[0-9a-f]{8}-[0-9a-z]{26}$/);
    await assertClean();

    await write('vda', 8 * MIB + 512, 512, 0x11);
    await zero('vda', 'write -z', MIB + 64 * KIB, 128 * KIB);
    await zero('vda', 'discard', 2 * MIB, 512 * KIB);
    await zero('vdc', 'write -z -u', 5 * MIB + 4 * KIB, 8 * KIB);
    await write('vdb', 2 * MIB, 4 * KIB, 0x22);
    await zero('vdb', 'write -z', 64 * KIB, 4 * KIB);
    const first = await backUp();
    assert.match(first, / inc of web/);
    const afterFirst = model.copy();
    assert.equal((await checkpoints()).length, 1, 'the checkpoint that was replaced is gone');

    await write('vdc', 0, 4 * KIB, 0x33);
    const second = await backUp();
    assert.match(second, / inc of web/);
    await assertRestores(idOf(full), afterFull);
    await assertRestores(idOf(first), afterFirst);
    await assertRestores(idOf(second), model.copy());
    await assertClean();
    const info = await done(`info ${idOf(second)} -r repo`);
    assert.match(info, /dirty-bitmap/);
    assert.match(info, /compare/);
    assert.match(await done('verify -r repo'), / good /);
  });

  it('names the domain that is not there', () => refused('--hypervisor libvirt wob -r repo', 10, 'VB_GUEST_NOT_FOUND'));

  it('goes on from a checkpoint that libvirt forgot', async () => {
    const [name = ''] = await checkpoints();
    await lab.virsh('checkpoint-delete', 'web', name, '--metadata');
    await write('vda', 4 * MIB, 64 * KIB, 0x44);
    const out = await backUp();
    assert.match(out, / inc of web/);
    await assertRestores(idOf(out), model.copy(), ['vda']);
    assert.equal((await checkpoints()).length, 1);
  });

  it('recovers by itself after it was killed while it read', async () => {
    await write('vda', 6 * MIB, 64 * KIB, 0x55);
    const before = await checkpoints();
    await killWhileItReads();
    const deadline = AbortSignal.timeout(30_000);
    // The socket is there before the checkpoint is, and the daemon ends what it began.
    while ((await checkpoints()).length < 2) assert.equal(deadline.aborted, false, 'the dead run left no checkpoint');
    // The process that speaks to libvirt outlives vbackup for as long as it needs to end the job: nobody looks after it any more.
    while (!/None/.test(await lab.virsh('domjobinfo', 'web')))
      assert.equal(deadline.aborted, false, 'the job is still there');
    await write('vdc', 2 * MIB, 64 * KIB, 0x66);
    const out = await backUp();
    assert.match(out, / inc of web/);
    await assertRestores(idOf(out), model.copy(), ['vda', 'vdc']);
    await assertClean();
    const after = await checkpoints();
    assert.deepEqual([after.length, after.includes(before[0] ?? '')], [1, false]);
  });

  it('keeps a chain of one disk beside that of the domain', async () => {
    assert.match(await backUp('web:vda'), / full \(first-backup\) of web:vda/);
    await write('vda', 0, 64 * KIB, 0x77);
    assert.equal((await checkpoints()).length, 2);
    assert.match(await backUp('web:vda'), / inc of web:vda/);
    assert.match(await backUp('web', ' --level diff'), / diff of web/);
    const out = await backUp();
    assert.match(out, / inc of web/);
    await assertRestores(idOf(out), model.copy(), ['vda']);
    assert.equal((await checkpoints()).length, 2);
  });

  it('makes a full after QEMU was killed, and says why', async () => {
    await domain.kill();
    // What the guest did not flush may be lost, as with any host that crashes: the images tell what is left.
    for (const { target } of domain.disks) model.disk(target).set(await imageOf(target));
    await domain.start();
    const out = await backUp();
    assert.match(out, / full \(tracking-lost/);
    await assertRestores(idOf(out), model.copy());
    // Its own, and that of the chain of vda alone, which is as broken and waits for that chain's next run.
    assert.equal((await checkpoints()).length, 2);
    await assertClean();
  });

  it('goes on after a clean stop, while the guest is off, and after it was started again', async () => {
    await domain.destroy({ graceful: true });
    for (const { target } of domain.disks) {
      assert.ok((await imageOf(target)).equals(model.disk(target)), `the model of ${target} is wrong`);
    }
    assert.match(await backUp(), / inc of web/, 'while it is off');
    await domain.start();
    await write('vda', 10 * MIB, 64 * KIB, 0x88);
    const out = await backUp();
    assert.match(out, / inc of web: .* 64\.0 KiB data/);
    await assertRestores(idOf(out), model.copy(), ['vda']);
  });

  it('compares an image of version 2, in which QEMU can keep no bitmap', async () => {
    const old = await lab.define({
      name: 'old',
      guest: 'seabios',
      disks: [
        { target: 'vda', size: 2 * MIB, createOptions: 'compat=0.10' },
        { target: 'vdb', size: 2 * MIB },
      ],
    });
    await old.start();
    assert.match(await backUp('old'), / full \(first-backup\) of old/);
    await old.dirty('vda', `write -P 1 ${MIB} ${64 * KIB}`);
    const out = await backUp('old');
    assert.match(out, / inc of old: .* 64\.0 KiB data/);
    const info = await done(`info ${idOf(out)} -r repo`);
    assert.match(info, /compare/);
    assert.match(info, /dirty-bitmap/);
  });
});
