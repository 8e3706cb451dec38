import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openImageDevice, QemuNbd } from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { type LabDomain, LIBVIRT_GUEST_TOOLS, LIBVIRT_LAB_TOOLS, type LibvirtLab, startLibvirtLab } from '@vbackup/lab';
import { type CommandResult, runCommand } from './testing/command.js';
import { ServeProcess } from './testing/serve-process.js';

const run = promisify(execFile);
const MIB = 2 ** 20;

describe('restores of libvirt guests', function () {
  this.timeout(300_000);
  let lab: LibvirtLab;

  const vbackup = (line: string): Promise<CommandResult> =>
    runCommand(line.split(' '), {
      cwd: lab.folder,
      env: {
        VBACKUP_LIBVIRT_URI: lab.uri,
        VBACKUP_LIBVIRT_SCRATCH: lab.images,
        VBACKUP_LIBVIRT_SOCKET_FOLDER: lab.images,
      },
    });
  const done = async (line: string): Promise<string> => {
    const { code, out, err } = await vbackup(line);
    assert.equal(code, 0, `vbackup ${line}\n${out}${err}`);
    return out + err;
  };
  const refused = async (line: string, code: string): Promise<string> => {
    const { code: ended, out, err } = await vbackup(line);
    assert.notEqual(ended, 0, `vbackup ${line}\n${out}${err}`);
    assert.match(err, new RegExp(`\\[${code}\\]`), err);
    return err;
  };
  /** What an image holds, as QEMU reads it. */
  const bytesOf = async (path: string, format: string): Promise<Buffer> => {
    const raw = join(lab.folder, 'bytes.raw');
    await run('qemu-img', ['convert', '-f', format, '-O', 'raw', path, raw]);
    const bytes = await readFile(raw);
    await rm(raw);
    return bytes;
  };
  const infoOf = async (path: string): Promise<unknown> => {
    const { stdout } = await run('qemu-img', ['info', '-f', 'qcow2', '--output=json', path]);
    return JSON.parse(stdout);
  };

  before(async function () {
    this.timeout(300_000);
    requireTools(this, [...LIBVIRT_LAB_TOOLS, ...LIBVIRT_GUEST_TOOLS]);
    lab = await startLibvirtLab();
  });
  after(async () => lab?.[Symbol.asyncDispose]());

  describe('of a guest with an agent', () => {
    let guest: LabDomain;
    before(async () => {
      guest = await lab.define({
        name: 'web',
        disks: [
          { target: 'vda', createOptions: 'cluster_size=16384,lazy_refcounts=on' },
          { target: 'vdb', size: 32 * MIB, format: 'raw' },
        ],
      });
      await guest.start();
      await guest.waitForAgent();
    });

    const write = (file: string, text: string): Promise<string> =>
      guest.run('/bin/sh', '-c', `echo ${text} > /mnt/${file} && sync`);

    it('brings a copy to life beside it, with what its file system held', async () => {
      await write('first', 'before-the-full');
      await write('changed', 'old');
      assert.match(await done('--hypervisor libvirt web -r repo --freeze'), / full /);
      await write('second', 'before-the-increment');
      await write('changed', 'new');
      assert.match(await done('--hypervisor libvirt web -r repo --freeze'), / inc /);
      await write('third', 'after-all');

      const out = await done('restore web@latest restored --define --name web-restored -r repo');
      assert.match(out, /web-restored is defined with the disks of [0-9a-f]{16}, and not started/);
      const copy = await lab.domain('web-restored');
      assert.notEqual(copy.uuid, guest.uuid);
      const image: unknown = await infoOf(join(lab.folder, 'restored', 'vda.qcow2'));
      assert.match(JSON.stringify(image), /"cluster-size":16384.*"lazy-refcounts":true/);
      assert.ok((await stat(join(lab.folder, 'restored', 'vdb.raw'))).isFile());

      await copy.start();
      await copy.waitForAgent();
      assert.equal(
        await copy.run('/bin/sh', '-c', 'cd /mnt && cat first second changed && ls third 2>&1 || true'),
        'before-the-full\nbefore-the-increment\nnew\nls: third: No such file or directory\n',
      );
      assert.equal(await guest.state(), 'running');
      assert.match(await guest.run('/bin/cat', '/mnt/third'), /after-all/);
      assert.match(await done('--hypervisor libvirt web-restored -r repo'), / full \(first-backup\) of web-restored/);
      await copy.destroy();
      await lab.virsh('undefine', 'web-restored', '--checkpoints-metadata');
    });

    it('boots from its backup without a restore, and what it writes there stays', async () => {
      const [id] = (await done('list -r repo --json')).match(/(?<="id":")[0-9a-f]{16}/g)?.slice(1) ?? [];
      assert.ok(id !== undefined, 'the increment');
      const socket = join(lab.images, 'served.sock');
      const serve = (): Promise<ServeProcess> =>
        ServeProcess.start(`${id} -r repo --socket ${socket} --socket-mode 666 --writable overlays`, {
          cwd: lab.folder,
        });
      const devices = ['vda', 'vdb'].map(
        (target) => `<disk type='network' device='disk'><driver name='qemu' type='raw' discard='unmap'/>
          <source protocol='nbd' name='${target}'><host transport='unix' socket='${socket}'/></source>
          <target dev='${target}' bus='virtio'/></disk>`,
      );
      const instant = await lab.define({ name: 'web-instant', disks: [], devices: devices.join('') });
      const inMnt = (command: string): Promise<string> => instant.run('/bin/sh', '-c', `cd /mnt && ${command}`);
      {
        await using _server = await serve();
        await instant.start();
        await instant.waitForAgent();
        assert.equal(await inMnt('cat first second changed'), 'before-the-full\nbefore-the-increment\nnew\n');
        await inMnt('echo written-in-the-overlay > fourth && rm first && sync');
        await instant.destroy({ graceful: true });
      }
      {
        await using _server = await serve();
        await instant.start();
        await instant.waitForAgent();
        assert.equal(
          await inMnt('cat second fourth; ls first 2>&1 || true'),
          `before-the-increment\nwritten-in-the-overlay\nls: first: No such file or directory\n`,
        );
        await instant.destroy();
      }
      await done(`verify ${id} -r repo`);
      const { blocks } = await stat(join(lab.folder, 'overlays', 'web.vda.overlay'));
      assert.ok(blocks * 512 < 4 * MIB, `${blocks} blocks`);
      await lab.virsh('undefine', 'web-instant');
    });
  });

  describe('in place', () => {
    const SIZES = { vda: 16 * MIB, vdb: 4 * MIB } as const;
    const model = { vda: Buffer.alloc(SIZES.vda), vdb: Buffer.alloc(SIZES.vdb) };
    let domain: LabDomain;
    before(async () => {
      domain = await lab.define({
        name: 'old',
        guest: 'seabios',
        withoutAgentChannel: true,
        disks: [
          { target: 'vda', size: SIZES.vda },
          { target: 'vdb', size: SIZES.vdb, format: 'raw' },
        ],
      });
      await domain.start();
    });

    const write = async (target: keyof typeof SIZES, offset: number, length: number, value: number): Promise<void> => {
      await domain.dirty(target, `write -P ${value} ${offset} ${length}`);
      model[target].fill(value, offset, offset + length);
    };
    const imagesAre = async (expected: typeof model): Promise<void> => {
      for (const target of ['vda', 'vdb'] as const) {
        const { path, format } = domain.disk(target);
        assert.ok((await bytesOf(path, format)).equals(expected[target]), `${target} is not as it should be`);
      }
    };
    const restoresAs = async (backup: string, expected: typeof model): Promise<void> => {
      await done(`restore ${backup} check/ -r repo --force`);
      for (const target of ['vda', 'vdb'] as const) {
        assert.ok((await readFile(join(lab.folder, 'check', `${target}.raw`))).equals(expected[target]), target);
      }
    };
    const writtenBytes = (out: string): readonly string[] =>
      [...out.matchAll(/restored in place: .* (\S+ \S+) written/g)].map(([, written]) => written ?? '');

    it('writes only what differs, and the next increment holds what was written', async () => {
      await write('vda', MIB, 3 * MIB, 0x11);
      await write('vdb', 0, MIB, 0x22);
      await done('--hypervisor libvirt old -r repo');
      const then = { vda: Buffer.from(model.vda), vdb: Buffer.from(model.vdb) };
      await write('vda', 2 * MIB, 64 * 1024, 0x33);
      await write('vda', 10 * MIB, 128 * 1024, 0x44);
      await domain.dirty('vda', `write -z ${MIB} 65536`);
      model.vda.fill(0, MIB, MIB + 65_536);
      const second = await done('--hypervisor libvirt old -r repo');
      assert.match(second, / inc of old/);
      await write('vdb', 2 * MIB, 4096, 0x55);
      await refused('restore old@latest libvirt:old --in-place -r repo', 'VB_LIBVIRT_RUNNING');
      await domain.destroy({ graceful: true });
      await imagesAre(model);

      const [full = ''] = /^[0-9a-f]{16}(?=.* full .*old)/m.exec(await done('list old -r repo')) ?? [];
      const out = await done(`restore ${full} libvirt:old --in-place -r repo`);
      assert.deepEqual(writtenBytes(out), ['256.0 KiB', '64.0 KiB']);
      await imagesAre(then);
      assert.deepEqual(writtenBytes(await done(`restore ${full} libvirt:old --in-place -r repo`)), ['0 B', '0 B']);

      await domain.start();
      for (const target of ['vda', 'vdb'] as const) then[target].copy(model[target]);
      await write('vda', 5 * MIB, 4096, 0x66);
      const third = await done('--hypervisor libvirt old -r repo');
      assert.match(third, / inc of old/, 'the bitmap knows what was written in place');
      await restoresAs('old@latest', model);
    });

    it('goes back to an increment, one disk alone, by the name of the domain’s disk', async () => {
      await write('vda', 0, MIB, 0x77);
      await domain.destroy({ graceful: true });
      const kept = Buffer.from(model.vda);
      const out = await done('restore old@latest libvirt:old:vda --disk vda --in-place -r repo');
      assert.deepEqual(writtenBytes(out), ['1.0 MiB']);
      model.vda.fill(0, 0, MIB);
      assert.ok(!kept.equals(model.vda));
      await imagesAre(model);
    });

    it('keeps the domain from starting meanwhile', async () => {
      const open = (target: keyof typeof SIZES) => {
        const { path, format } = domain.disk(target);
        return openImageDevice(path, { format })({ size: SIZES[target], label: target });
      };
      await using _vda = await open('vda');
      await assert.rejects(domain.start(), /lock/);
      await using _vdb = await open('vdb');
      await assert.rejects(domain.start(), /lock/);
    });

    it('also writes into an image by its path, unless a domain has it', async () => {
      const { path } = domain.disk('vda');
      assert.deepEqual(writtenBytes(await done(`restore old@latest ${path} --disk vda --in-place -r repo`)), ['0 B']);
      await domain.start();
      await refused(`restore old@latest ${path} --disk vda --in-place -r repo`, 'VB_IMAGE_LOCKED');
      await refused(`restore old@latest ${path} --disk vda --format qcow2 --force -r repo`, 'VB_IMAGE_LOCKED');
      await domain.destroy({ graceful: true });
    });

    it('refuses a disk of another size, and a domain whose memory is saved', async () => {
      const before = Buffer.from(model.vda);
      const line = 'restore old@latest libvirt:old:vdb --disk vda --in-place -r repo';
      await refused(line, 'VB_LIBVIRT_OTHER_DISK');
      const error = await refused(`${line} --force`, 'VB_TARGET_SIZE');
      assert.match(error, /4194304 bytes, vda of [0-9a-f]{16} has 16777216/);
      await domain.start();
      await lab.virsh('managedsave', 'old');
      await refused('restore old@latest libvirt:old --in-place -r repo', 'VB_LIBVIRT_SAVED_STATE');
      await lab.virsh('managedsave-remove', 'old');
      await imagesAre({ ...model, vda: before });
    });

    it('is followed by a full where it was killed in the middle', async () => {
      assert.match(await done('--hypervisor libvirt old -r repo'), / inc of old/);
      const { path } = domain.disk('vda');
      const server = await QemuNbd.start({ path, format: 'qcow2', readOnly: false, connections: 1 });
      process.kill(server.pid ?? 0, 'SIGKILL');
      await server[Symbol.asyncDispose]();
      assert.match(await done('--hypervisor libvirt old -r repo'), / full \(tracking-lost/);
    });

    it('replaces the domain itself by force, and its next backup is a full', async () => {
      await refused('restore old@latest new/ --define -r repo', 'VB_LIBVIRT_DEFINED');
      await lab.virsh('autostart', 'old');
      const out = await done('restore old@latest new/ --define --force -r repo');
      assert.match(out, /old is defined with the disks of/);
      assert.match(await lab.virsh('domblklist', 'old'), /new\/vda\.qcow2/);
      assert.match(await lab.virsh('dominfo', 'old'), /Autostart: +disable/);
      assert.equal((await lab.virsh('checkpoint-list', 'old', '--name')).trim(), '');
      await domain.start();
      assert.match(await done('--hypervisor libvirt old -r repo'), / full \(base-missing/);
      await restoresAs('old@latest', model);
    });
  });

  describe('of everything that a domain has', () => {
    let folder: string;
    const file = (name: string): string => join(folder, name);
    before(async () => {
      folder = join(lab.images, 'efi');
      await mkdir(folder);
      for (const name of ['CODE.fd', 'efi_VARS.fd', 'vmlinuz']) await writeFile(file(name), `the ${name} of then`);
      await run('qemu-img', ['create', '-q', '-f', 'raw', file('base.raw'), '1M']);
      await run('qemu-io', ['-f', 'raw', '-c', 'write -P 7 512k 64k', file('base.raw')]);
      const overlay = ['-b', file('base.raw'), '-F', 'raw', '-o', 'cluster_size=4096'];
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...overlay, file('vda.qcow2')]);
      const apart = ['-o', `data_file=${file('vdb.data')},cluster_size=131072`];
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...apart, file('vdb.qcow2'), '1M']);
      await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 9 0 4k', file('vdb.qcow2')]);
      const disks = ['vda', 'vdb'].map(
        (target) => `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
          <source file='${file(`${target}.qcow2`)}'/><target dev='${target}' bus='virtio'/></disk>`,
      );
      const xml = `<domain type='qemu'><name>efi</name><memory unit='MiB'>64</memory>
        <os><type arch='x86_64' machine='q35'>hvm</type><loader readonly='yes' type='pflash'>${file('CODE.fd')}</loader>
          <nvram>${file('efi_VARS.fd')}</nvram><kernel>${file('vmlinuz')}</kernel></os><features><acpi/></features>
        <devices>${disks.join('')}<graphics type='vnc' passwd='geheim'/><interface type='user'/></devices></domain>`;
      await writeFile(file('efi.xml'), xml);
      await lab.virsh('define', file('efi.xml'));
      await lab.virsh('autostart', 'efi');
    });

    it('brings it back after its host lost all of it', async () => {
      await done('--hypervisor libvirt efi -r repo');
      const before = await lab.virsh('dumpxml', 'efi', '--inactive', '--security-info');
      await lab.virsh('undefine', 'efi', '--nvram', '--checkpoints-metadata');
      await rm(folder, { recursive: true });

      const out = await done('restore efi@latest back --define -r repo');
      assert.match(out, /it stood on .*base\.raw \[VB_IMAGE_FLATTENED\]/);
      assert.match(out, /its clusters lay in .*vdb\.data \[VB_IMAGE_FLATTENED\]/);
      const back = join(lab.folder, 'back');
      const expected = before
        .replace(file('vda.qcow2'), join(back, 'vda.qcow2'))
        .replace(file('vdb.qcow2'), join(back, 'vdb.qcow2'))
        .replaceAll(`${folder}/`, `${back}/`);
      const now = await lab.virsh('dumpxml', 'efi', '--inactive', '--security-info');
      assert.deepEqual(now.split('\n').toSorted(), expected.split('\n').toSorted());
      assert.match(now, /passwd='geheim'/);
      assert.match(await lab.virsh('dominfo', 'efi'), /Autostart: +enable/);
      for (const name of ['CODE.fd', 'efi_VARS.fd', 'vmlinuz']) {
        assert.equal(await readFile(join(back, name), 'utf8'), `the ${name} of then`);
      }
      const [vda, vdb] = [
        await bytesOf(join(back, 'vda.qcow2'), 'qcow2'),
        await bytesOf(join(back, 'vdb.qcow2'), 'qcow2'),
      ];
      assert.deepEqual([vda[524_288], vda[0], vdb[0], vdb[4096]], [7, 0, 9, 0]);
      const images = [await infoOf(join(back, 'vda.qcow2')), await infoOf(join(back, 'vdb.qcow2'))].map((image) =>
        JSON.stringify(image),
      );
      assert.match(images[0] ?? '', /"cluster-size":4096/);
      assert.match(images[1] ?? '', /"cluster-size":131072/);
      assert.doesNotMatch(images.join(), /backing|data-file"/);
    });
  });
});
