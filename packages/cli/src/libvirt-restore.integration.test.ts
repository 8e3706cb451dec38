import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { requireTools } from '@vbackup/core/testing';
import { type LabDomain, LIBVIRT_GUEST_TOOLS, LIBVIRT_LAB_TOOLS, type LibvirtLab, startLibvirtLab } from '@vbackup/lab';
import { type CommandResult, runCommand } from './testing/command.js';

const run = promisify(execFile);
const MIB = 2 ** 20;

describe('restores of libvirt guests', function () {
  this.timeout(120_000);
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
  });
});
