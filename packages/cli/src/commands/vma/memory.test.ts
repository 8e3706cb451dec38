import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmaWriter } from '@vbackup/core';
import { LateSink, newArchive, sealHeader } from '@vbackup/core/testing';
import { testProgram } from '../../testing/program.js';

const CLUSTER = 65_536;
const BLOCK = 4096;
const PATTERN = Uint8Array.from({ length: 251 }, (_, index) => 1 + index);
const DISK = Buffer.concat([Buffer.alloc(CLUSTER, PATTERN), Buffer.alloc(CLUSTER)]);

/** Zero blocks at the beginning, the end and inside of a cluster, a cluster of nothing else, and one at the end. */
const MEMORY = Buffer.alloc(5 * CLUSTER, PATTERN)
  .fill(0, 0, BLOCK)
  .fill(0, CLUSTER - 2 * BLOCK, CLUSTER + BLOCK)
  .fill(0, CLUSTER + 5 * BLOCK, CLUSTER + 6 * BLOCK)
  .fill(0, 2 * CLUSTER, 3 * CLUSTER)
  .fill(0, 4 * CLUSTER);

/** A disk and the guest's memory, cluster by cluster in turn. */
async function archiveWithMemory(memory: { readonly name: string; readonly size: number }): Promise<Buffer> {
  const sink = new LateSink();
  const devices = [{ name: 'drive-scsi0', size: DISK.length }, memory];
  const writer = await VmaWriter.open(newArchive({ devices }), sink);
  for (let at = 0; at < MEMORY.length; at += CLUSTER) {
    const end = at + CLUSTER;
    if (at < DISK.length) await writer.device('drive-scsi0').write(at, DISK.subarray(at, end));
    await writer.device(memory.name).write(at, MEMORY.subarray(at, end));
  }
  await writer.close();
  return sink.bytes();
}

/** As Proxmox writes it: zero blocks are left out. vbackup stores them, so a disk becomes the memory here. */
async function archiveWithZeroBlocksLeftOut(): Promise<Buffer> {
  const bytes = await archiveWithMemory({ name: 'vmstatX', size: MEMORY.length });
  bytes.write('vmstate', bytes.indexOf('vmstatX\0', 0, 'latin1'), 'latin1');
  return sealHeader(bytes);
}

describe('the memory of a guest in an archive', () => {
  const program = testProgram();
  const inFolder = (...names: readonly string[]): string => join(program.folder, ...names);
  const archives = [
    ['whose zero blocks are stored', () => archiveWithMemory({ name: 'vmstate', size: 512 })],
    ['whose zero blocks are left out', archiveWithZeroBlocksLeftOut],
  ] as const;

  for (const [what, make] of archives) {
    const assertExtracted = async (bytes: Buffer, source: string, options = ''): Promise<void> => {
      program.world.input = [bytes];
      assert.equal(await program.run(`vma extract ${source} out --force ${options}`), 0, program.world.stderr.text);
      assert.deepEqual((await readdir(inFolder('out'))).sort(), ['drive-scsi0.raw', 'vmstate.bin']);
      assert.ok((await readFile(inFolder('out', 'vmstate.bin'))).equals(MEMORY), 'the memory differs');
      assert.ok((await readFile(inFolder('out', 'drive-scsi0.raw'))).equals(DISK), 'the disk differs');
    };

    it(`is extracted, ${what}, from a file and from standard input`, async () => {
      const bytes = await make();
      await writeFile(inFolder('a.vma'), bytes);
      for (const options of ['', '--no-sparse']) {
        await assertExtracted(bytes, 'a.vma', options);
        await assertExtracted(bytes, '-', options);
      }
    });

    it(`is kept by repack, ${what}, from a file and from standard input`, async () => {
      const bytes = await make();
      await writeFile(inFolder('a.vma'), bytes);
      for (const source of ['a.vma', '-']) {
        program.world.input = [bytes];
        assert.equal(await program.run(`vma repack ${source} b.vma --force`), 0, program.world.stderr.text);
        assert.equal(await program.run('vma verify b.vma'), 0, program.world.stderr.text);
        await assertExtracted(await readFile(inFolder('b.vma')), 'b.vma');
        await assertExtracted(await readFile(inFolder('b.vma')), '-');
      }
    });
  }
});
