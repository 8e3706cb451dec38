import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { requireTools } from '@vbackup/core/testing';
import { type LabDomain, LIBVIRT_LAB_TOOLS, type LibvirtLab, startLibvirtLab } from '@vbackup/lab';
import { runCommand } from './testing/command.js';

const run = promisify(execFile);
const KIB = 2 ** 10;
const MIB = 2 ** 20;
const SIZES = { vda: 8 * MIB, vdb: 4 * MIB } as const;
type Target = keyof typeof SIZES;
const TARGETS = ['vda', 'vdb'] as const;

describe('libvirt guests, vbackup and virtnbdbackup', function () {
  this.timeout(120_000);
  let lab: LibvirtLab;
  let domain: LabDomain;
  const model = { vda: Buffer.alloc(SIZES.vda), vdb: Buffer.alloc(SIZES.vdb) };

  const path = (...parts: readonly string[]): string => join(lab.folder, ...parts);
  const vbackup = async (line: string): Promise<string> => {
    const env = {
      VBACKUP_LIBVIRT_URI: lab.uri,
      VBACKUP_LIBVIRT_SCRATCH: lab.images,
      VBACKUP_LIBVIRT_SOCKET_FOLDER: lab.images,
    };
    const { code, out, err } = await runCommand(line.split(' '), { cwd: lab.folder, env });
    assert.equal(code, 0, `vbackup ${line}\n${out}${err}`);
    return out;
  };
  const write = async (
    target: Target,
    [offset, length, value]: readonly [number, number, number],
    zero = 'write -z',
  ): Promise<void> => {
    await domain.dirty(target, `${value === 0 ? zero : `write -P ${value}`} ${offset} ${length}`);
    model[target].fill(value, offset, offset + length);
  };
  /** Data over data, zeros over data, and what a discard leaves. */
  const change = async (value: number): Promise<void> => {
    await write('vda', [MIB + value * KIB, 256 * KIB, value]);
    await write('vdb', [value * 8 * KIB, 4 * KIB, value]);
    await write('vda', [MIB + 64 * KIB, 64 * KIB, 0]);
    await write('vda', [6 * MIB + value * 64 * KIB, 64 * KIB, 0], 'discard');
  };
  const assertEqual = async (files: Readonly<Record<Target, string>>): Promise<void> => {
    for (const target of TARGETS) assert.ok((await readFile(files[target])).equals(model[target]), `${target} differs`);
  };

  before(async function () {
    this.timeout(300_000);
    requireTools(this, [...LIBVIRT_LAB_TOOLS, 'virtnbdbackup', 'virtnbdrestore', 'qemu-img']);
    lab = await startLibvirtLab();
    domain = await lab.define({
      name: 'web',
      guest: 'seabios',
      withoutAgentChannel: true,
      disks: [
        { target: 'vda', size: SIZES.vda },
        { target: 'vdb', size: SIZES.vdb, createOptions: 'cluster_size=4096' },
      ],
    });
    await domain.start();
    for (const target of TARGETS) await write(target, [MIB, SIZES[target] - MIB, 0xee]);
  });
  after(async () => lab?.[Symbol.asyncDispose]());

  it('virtnbdrestore restores a full and two increments of vbackup', async () => {
    const lines = [await vbackup('--hypervisor libvirt web -r repo')];
    for (const value of [1, 2]) {
      await change(value);
      lines.push(await vbackup('--hypervisor libvirt web -r repo'));
    }
    assert.deepEqual(
      lines.map((line) => / (full|inc) /.exec(line)?.[1]),
      ['full', 'inc', 'inc'],
    );
    const place = path('repo', 'libvirt', domain.uuid);
    const [chain = ''] = (await readdir(place, { withFileTypes: true }))
      .filter((each) => each.isDirectory())
      .map(({ name }) => name);
    for (const target of TARGETS) {
      // One disk at a time, each on a socket of its own: the tool starts the server of the next one before that of the last has ended.
      const where = [
        '-f',
        path(`${target}.sock`),
        '-i',
        join(place, chain),
        '-o',
        path(`theirs-${target}`),
        '-d',
        target,
      ];
      const log = ['--noprogress', '--logfile', path('restore.log')];
      await run('virtnbdrestore', ['-U', 'test:///default', ...log, ...where]);
      await convert(path(`theirs-${target}`, `${target}.qcow2`), path(`${target}.theirs`));
    }
    await assertEqual({ vda: path('vda.theirs'), vdb: path('vdb.theirs') });
  });

  it('vbackup takes what virtnbdbackup made, though its own restore would mix the increments up', async () => {
    await lab.virsh('destroy', 'web', '--graceful');
    for (const name of (await lab.virsh('checkpoint-list', 'web', '--name')).split('\n')) {
      if (name !== '') await lab.virsh('checkpoint-delete', 'web', name, '--metadata');
    }
    await domain.start();
    await mkdir(path('peer'));
    const backUp = (level: string): Promise<unknown> =>
      run('virtnbdbackup', [
        '-U',
        lab.uri,
        '-d',
        'web',
        '-l',
        level,
        '-o',
        path('peer'),
        '-n',
        '-S',
        lab.images,
        '-f',
        path('v.sock'),
      ]);
    await backUp('full');
    for (const value of [3, 4]) {
      await change(value);
      await backUp('inc');
    }
    // virtnbdrestore goes by the times of the files (a copy without them is enough), and then writes the full last.
    const full = (await readdir(path('peer'))).filter((name) => name.endsWith('.full.data'));
    assert.equal(full.length, 2);
    const later = new Date(Date.now() + 3_600_000);
    for (const name of full) await utimes(path('peer', name), later, later);
    const out = await vbackup('import stream peer -r taken');
    const id = /[0-9a-f]{16}/.exec(out)?.[0] ?? assert.fail(out);
    for (const target of TARGETS) await vbackup(`restore ${id} ${target}.raw --disk ${target} -r taken`);
    await assertEqual({ vda: path('vda.raw'), vdb: path('vdb.raw') });
  });

  it('vbackup leaves the checkpoints of virtnbdbackup alone, and its own chain goes on between them', async () => {
    const names = async (): Promise<readonly string[]> =>
      (await lab.virsh('checkpoint-list', 'web', '--name')).split('\n').filter((name) => name !== '');
    const theirs = await names();
    assert.deepEqual(
      theirs.filter((name) => !name.startsWith('virtnbdbackup')),
      [],
    );
    await change(5);
    // libvirt was made to forget our checkpoint; its bitmaps are in the images.
    assert.match(await vbackup('--hypervisor libvirt web -r repo'), / inc of web/);
    const now = await names();
    assert.deepEqual(now.filter((name) => !name.startsWith('vbackup-')).toSorted(), theirs.toSorted());
    assert.equal(now.length, theirs.length + 1);
    for (const target of TARGETS) await vbackup(`restore web@latest ${target}.ours --disk ${target} -r repo`);
    await assertEqual({ vda: path('vda.ours'), vdb: path('vdb.ours') });
  });
});

/** The restore ends a little before its qemu-nbd has closed the image. */
async function convert(image: string, raw: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await run('qemu-img', ['convert', '-O', 'raw', image, raw]);
      return;
    } catch (error) {
      if (tries === 100 || !String(error).includes('"write" lock')) throw error;
      await delay(100);
    }
  }
}
