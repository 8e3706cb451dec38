import assert from 'node:assert/strict';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmaWriter } from '@vbackup/core';
import { LateSink, newArchive, VMA_FIXTURES } from '@vbackup/core/testing';
import { testProgram } from '../../testing/program.js';

const CLUSTER = 65_536;
const SIZE = 4 * CLUSTER;
/** One cluster whole, one with 15 blocks of zeros, two of zeros. */
const DISK = Buffer.alloc(SIZE).fill(7, 0, CLUSTER + 4096);
const MEMORY = Buffer.alloc(CLUSTER, 9);

async function archive(names: readonly string[]): Promise<Buffer> {
  const sink = new LateSink();
  const devices = names.map((name) => ({ name, size: name === 'vmstate' ? CLUSTER : SIZE }));
  const writer = await VmaWriter.open(newArchive({ devices }), sink);
  for (const name of names) await writer.device(name).write(0, name === 'vmstate' ? MEMORY : DISK);
  await writer.close();
  return sink.bytes();
}

describe('vbackup vma extract --fifo', () => {
  const program = testProgram();
  const inFolder = (name: string): string => join(program.folder, name);

  /** A plain file stands for the FIFO; `-r` is tested with a real one elsewhere. */
  const restore = async (options: string, names: readonly string[], lines: readonly string[]): Promise<number> => {
    const bytes = await archive(names);
    await writeFile(inFolder('a.vma'), bytes);
    await writeFile(inFolder('lines'), `${lines.join('\n')}\ndone\n`);
    for (const name of names) {
      await writeFile(inFolder(`${name}.volume`), '');
      await truncate(inFolder(`${name}.volume`), SIZE);
    }
    program.world.input = [bytes];
    return program.run(`vma extract ${options} --fifo lines out`);
  };

  for (const source of ['a.vma', '-']) {
    it(`tells with -v how far it is in the words of Proxmox, of ${source === '-' ? 'a stream' : 'a file'}`, async () => {
      const lines = ['0:drive-scsi0=drive-scsi0.volume', 'skip=drive-scsi1'];
      assert.equal(await restore(`-v ${source}`, ['drive-scsi0', 'drive-scsi1'], lines), 0, program.world.stderr.text);
      const [list, log] = program.world.stdout.text.split(/(?<=CTIME: .*\n)/);
      assert.match(list ?? '', /^DEV: dev_id=1 size: 262144 devname: drive-scsi0\n/);
      const told = (log ?? '').split('\n').filter((line) => /progress|total|space/.test(line));
      assert.deepEqual(
        told.map((line) => line.replace(/\d+ sec\)/, 'n sec)')),
        [
          ...Array.from({ length: 8 }, (_, at) => {
            const percent = Math.floor((100 * (at + 1)) / 8);
            return `progress ${percent}% (read ${(at + 1) * CLUSTER} bytes, duration n sec)`;
          }),
          'total bytes read 524288, sparse bytes 385024 (73.4%)',
          'space reduction due to 4K zero blocks 88.2%',
        ],
      );
      assert.ok((await readFile(inFolder('drive-scsi0.volume'))).equals(DISK));
    });
  }

  it('says nothing of it without -v', async () => {
    assert.equal(await restore('a.vma', ['drive-scsi0'], ['0:drive-scsi0=drive-scsi0.volume']), 0);
    assert.doesNotMatch(program.world.stdout.text, /progress|total bytes/);
  });

  it('says that an archive has no data of disks', async () => {
    await writeFile(inFolder('lines'), 'done\n');
    const golden = join(VMA_FIXTURES, '06-noconfdev.vma');
    assert.equal(await program.run(`vma extract -v ${golden} --fifo lines out`), 0, program.world.stderr.text);
    assert.match(program.world.stdout.text, /CTIME: .*\nvma archive contains no image data\n$/);
  });

  it('holds volumes to their rates, warns of what it does not follow, and names the volume', async () => {
    const lines = [
      'throttling.bps=1073741824:throttling.group=local:throttling.iops=5:0:drive-scsi0=drive-scsi0.volume',
    ];
    assert.equal(await restore('a.vma', ['drive-scsi0'], lines), 0);
    assert.match(program.world.stderr.text, /throttling\.iops=5 is not followed \[VB_UNSUPPORTED\]/);
    assert.doesNotMatch(program.world.stderr.text, /bps|group/);
    assert.ok((await readFile(inFolder('drive-scsi0.volume'))).equals(DISK));
  });

  it('leaves out a memory without a line and says so; with a line it becomes a file', async () => {
    const names = ['drive-scsi0', 'vmstate'];
    const line = '0:drive-scsi0=drive-scsi0.volume';
    assert.equal(await restore('a.vma', names, [line]), 0, program.world.stderr.text);
    assert.match(program.world.stderr.text, /memory of the guest \(vmstate\) is left out: there is no line for it/);
    assert.ok(!(await readdir(program.folder)).includes('out'));
    program.world.stderr.text = '';
    assert.equal(await restore('a.vma', names, [line, 'skip=vmstate']), 0, program.world.stderr.text);
    assert.doesNotMatch(program.world.stderr.text, /memory/);
    for (const source of ['a.vma', '-']) {
      const memory = `memory-${source}`;
      assert.equal(await restore(source, names, [line, `0:vmstate=${memory}`]), 0, program.world.stderr.text);
      assert.ok((await readFile(inFolder(memory))).equals(MEMORY));
    }
  });

  it('leaves nothing where it fails after the configurations were written, and says at once that there is no FIFO', async () => {
    const golden = join(VMA_FIXTURES, '01-basic.vma');
    await writeFile(inFolder('lines'), 'skip=nothing\n');
    assert.equal(await program.run(`vma extract ${golden} --fifo lines out`), 2);
    assert.match(program.world.stderr.text, /VB_INVALID_ARGUMENT/);
    assert.ok(!(await readdir(program.folder)).includes('out'));
    program.world.stdout.text = '';
    await program.refused(`vma extract ${golden} --fifo none out`, 'VB_FILE_NOT_FOUND', 10);
    assert.ok(!(await readdir(program.folder)).includes('out'));
  });
});
