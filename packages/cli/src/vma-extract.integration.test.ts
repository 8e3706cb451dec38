import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { requireTools, VMA_FIXTURES, vmaFixtures } from '@vbackup/core/testing';
import { BIN } from './testing/command.js';
import { CommandFolder } from './testing/command-folder.js';

const SHUFFLED = '13-shuffled-gaps.vma';
const digestOf = (file: string, name: string): string | undefined =>
  vmaFixtures.valid.find((fixture) => fixture.file === file)?.devices.find((device) => device.name === name)?.sha256;
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('vbackup vma extract', () => {
  let folder: CommandFolder;

  before(function () {
    requireTools(this, ['qemu-img', 'qemu-nbd', 'nbdkit', 'sh']);
  });
  beforeEach(async () => {
    folder = await CommandFolder.make();
    await copyFile(join(VMA_FIXTURES, SHUFFLED), folder.at('a.vma'));
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  /** The command, in a shell. */
  const shell = (line: string): string =>
    folder.tool('sh', '-c', line.replaceAll('vbackup', `${process.execPath} ${BIN}`));

  it('makes a qcow2 image, from a file and from a pipe, that QEMU finds equal to the raw one', async () => {
    await folder.done('vma extract a.vma out');
    assert.equal(sha256(await readFile(folder.at('out/drive-scsi0.raw'))), digestOf(SHUFFLED, 'drive-scsi0'));
    await folder.done('vma extract a.vma --map drive-scsi0=one.qcow2,format=qcow2');
    shell('cat a.vma | vbackup vma extract - --map drive-scsi0=two.qcow2,format=qcow2');
    for (const name of ['one.qcow2', 'two.qcow2']) {
      const words = folder.tool('qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', 'out/drive-scsi0.raw', name);
      assert.match(words, /identical/);
      folder.tool('qemu-img', 'check', '-f', 'qcow2', name);
    }
  });

  it('writes to an NBD server, and over what was there', async () => {
    const size = 5_242_880;
    await folder.file('disk.raw', size, [{ offset: 0, bytes: Buffer.alloc(size, 7) }]);
    shell(
      `nbdkit -U - file disk.raw --run 'vbackup vma extract a.vma --map "drive-scsi0=nbd+unix:///?socket=$unixsocket"'`,
    );
    assert.equal(sha256(await readFile(folder.at('disk.raw'))), digestOf(SHUFFLED, 'drive-scsi0'));
  });

  it('writes to standard output what a pipe can take, and nothing else', async () => {
    shell('vbackup vma extract a.vma --map drive-scsi0=- > piped.raw');
    assert.equal(sha256(await readFile(folder.at('piped.raw'))), digestOf(SHUFFLED, 'drive-scsi0'));
    shell('vbackup vma config a.vma > piped.conf');
    shell('vbackup vma config a.vma | head -c 1 > /dev/null');
  });
});
