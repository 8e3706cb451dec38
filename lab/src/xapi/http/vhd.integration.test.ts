import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { requireTools } from '@vbackup/core/testing';
import { BlockMap } from '../model/block-map.js';
import { VHD_BLOCK_LENGTH, vhdOf } from './vhd.js';

const run = promisify(execFile);
const UUID = '0b6f1a39-3a1e-4c50-9a46-07d4f2b7a3a1';

describe('a VHD of the lab, read by qemu-img', () => {
  let folder: string;

  before(async function () {
    requireTools(this, ['qemu-img']);
    folder = await mkdtemp(join(tmpdir(), 'vbackup-vhd-'));
  });

  after(async () => {
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  it('holds the bytes of the disk, its last block cut, its empty blocks absent', async () => {
    const content = new BlockMap(5 * VHD_BLOCK_LENGTH + 1536);
    content.write(12_345, randomBytes(100_000));
    content.write(3 * VHD_BLOCK_LENGTH - 10, randomBytes(20));
    content.write(content.size - 700, randomBytes(700));
    const vhd = Buffer.concat([...vhdOf(content, UUID)]);
    assert.equal(vhd.length, 2048 + 4 * (512 + VHD_BLOCK_LENGTH) + 512);
    const [source, target] = [join(folder, 'disk.vhd'), join(folder, 'disk.raw')];
    await writeFile(source, vhd);
    await run('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', source, target]);
    const expected = Buffer.alloc(content.size);
    content.read(0, expected);
    assert.ok((await readFile(target)).equals(expected));
  });
});
