import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile, readFile, stat } from 'node:fs/promises';
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
    folder.tool('sh', '-c', line.replaceAll('vbackup vma', `${process.execPath} ${BIN} vma`));

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

  describe('with -r, as qmrestore calls it', () => {
    const SIZE = 5_242_880;

    /** Waits for the list, as qmrestore does, then says where the devices go. @returns the exit code and what was said */
    const restore = async (...lines: readonly string[]): Promise<{ code: number; list: string; errors: string }> => {
      const script = `
        rm -rf fifo list errors out; mkfifo fifo
        vbackup vma extract -v -r fifo - out < a.vma > list 2> errors & pid=$!
        until grep -q CTIME list || ! kill -0 $pid 2> /dev/null; do sleep 0.02; done
        test -s out/qemu-server.conf || echo "no configuration" >&2
        printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} > fifo
        wait $pid; echo $?`;
      const code = Number(shell(script));
      const [list, errors] = await Promise.all(['list', 'errors'].map((name) => readFile(folder.at(name), 'utf8')));
      return { code, list: list ?? '', errors: errors ?? '' };
    };

    it('prints the list, waits for the FIFO and writes into the volume that is there', async () => {
      await folder.file('volume', SIZE + 4096, [{ offset: 0, bytes: Buffer.alloc(SIZE + 4096, 7) }]);
      const { ino } = await stat(folder.at('volume'));
      const { code, list, errors } = await restore(`format=raw:1:drive-scsi0=${folder.at('volume')}`, 'done');
      assert.equal(code, 0, errors);
      assert.match(list, /^CFG: .*\nDEV: dev_id=1 size: 5242880 devname: drive-scsi0\nCTIME: /);
      const volume = await readFile(folder.at('volume'));
      assert.equal(sha256(volume.subarray(0, SIZE)), digestOf(SHUFFLED, 'drive-scsi0'));
      assert.ok(volume.subarray(SIZE).every((byte) => byte === 7));
      assert.equal((await stat(folder.at('volume'))).ino, ino);
    });

    it('writes into a qcow2 image, and no zeros where it is told not to', async () => {
      folder.tool('qemu-img', 'create', '-q', '-f', 'qcow2', 'volume.qcow2', String(SIZE));
      const { code, errors } = await restore(`format=qcow2:0:drive-scsi0=${folder.at('volume.qcow2')}`, 'done');
      assert.equal(code, 0, errors);
      folder.tool('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', 'volume.qcow2', 'volume.raw');
      assert.equal(sha256(await readFile(folder.at('volume.raw'))), digestOf(SHUFFLED, 'drive-scsi0'));
    });

    it('skips what it is told to skip, and takes an empty line for the end', async () => {
      const { code, errors } = await restore('skip=drive-scsi0', '', 'nonsense');
      assert.equal(code, 0, errors);
    });

    it('refuses a device without a line, and volumes that are too short or much too long', async () => {
      const forgotten = await restore('done');
      assert.equal(forgotten.code, 2);
      assert.match(forgotten.errors, /no line for the device drive-scsi0 \[VB_INVALID_ARGUMENT\]/);
      await folder.file('short', SIZE - 512);
      await folder.file('long', SIZE + 5 * 1024 * 1024);
      for (const [name, error] of [
        ['short', 'VB_TARGET_TOO_SMALL'],
        ['long', 'VB_TARGET_INVALID'],
      ] as const) {
        const { code, errors } = await restore(`1:drive-scsi0=${folder.at(name)}`, 'done');
        assert.equal(code, 1);
        assert.match(errors, new RegExp(`\\[${error}\\]`));
      }
      assert.equal((await stat(folder.at('short'))).size, SIZE - 512);
    });
  });

  it('writes to standard output what a pipe can take, and nothing else', async () => {
    shell('vbackup vma extract a.vma --map drive-scsi0=- > piped.raw');
    assert.equal(sha256(await readFile(folder.at('piped.raw'))), digestOf(SHUFFLED, 'drive-scsi0'));
    shell('vbackup vma config a.vma > piped.conf');
    shell('vbackup vma config a.vma | head -c 1 > /dev/null');
  });
});
