import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServedDisk } from '../served-disk.js';
import { OverlayFolder } from './overlay-folder.js';
import { encodeMark } from './overlay-format.js';

const SIZE = 10 * 1024 * 1024 * 1024 + 512;

describe('OverlayFolder', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-overlay-'));
    path = join(folder, 'a', 'overlay');
  });
  afterEach(() => rm(folder, { recursive: true }));

  const disk = (size = SIZE): ServedDisk => ({
    name: 'as it is shown',
    description: '',
    size,
    changedSince: [],
    read: async (_offset, target) => void target.fill(1),
    async *extents(range) {
      yield { ...range, kind: 'data' as const };
    },
    [Symbol.asyncDispose]: async () => undefined,
  });

  const written = async (name = 'vda'): Promise<void> => {
    await using overlays = await OverlayFolder.open(path);
    await using overlaid = await overlays.layOver(disk(), { identity: 'backup 1', name });
    await overlaid.writes?.write(SIZE - 512, Buffer.alloc(512, 7));
  };

  const attempt = async (base: ServedDisk, { identity = 'backup 1', name = 'vda' } = {}): Promise<Buffer> => {
    await using overlays = await OverlayFolder.open(path);
    await using overlaid = await overlays.layOver(base, { identity, name });
    const bytes = Buffer.alloc(1024);
    await overlaid.read(SIZE - 1024, bytes);
    return bytes;
  };

  it('keeps what was written for the next time, sparse, one file for each disk', async () => {
    await written();
    await written('sr/../b');
    assert.deepEqual((await readdir(path)).toSorted(), ['sr%2F..%2Fb.overlay', 'vda.overlay']);
    assert.deepEqual(await attempt(disk()), Buffer.concat([Buffer.alloc(512, 1), Buffer.alloc(512, 7)]));
    const { size, blocks, mode } = await stat(join(path, 'vda.overlay'));
    assert.ok(size > SIZE && blocks * 512 < 256 * 1024, `${blocks} blocks`);
    assert.equal(mode % 0o1000, 0o600);
  });

  it('belongs to one server at a time', async () => {
    await using _overlays = await OverlayFolder.open(path);
    await assert.rejects(OverlayFolder.open(path), {
      code: 'VB_OVERLAY_LOCKED',
      message: new RegExp(`locked by process ${process.pid} on `),
      cure: 'end that server, or name another folder for what is written',
    });
  });

  it('is not the folder of a repository, which would be locked and littered', async () => {
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'vbackup.json'), '{}');
    await assert.rejects(OverlayFolder.open(path), { code: 'VB_INVALID_ARGUMENT', message: /repository/ });
    assert.deepEqual(await readdir(path), ['vbackup.json']);
  });

  it('refuses a second disk of one name', async () => {
    await using overlays = await OverlayFolder.open(path);
    await using _overlaid = await overlays.layOver(disk(), { identity: 'backup 1', name: 'vda' });
    const again = overlays.layOver(disk(), { identity: 'backup 1', name: 'vda' });
    await assert.rejects(again, { code: 'VB_INVALID_ARGUMENT', message: /two disks/, cure: /of its own/ });
  });

  it('is of one disk of one backup, and serves no other', async () => {
    await written();
    const others: readonly (readonly [ServedDisk, string])[] = [
      [disk(), 'backup 2'],
      [disk(SIZE + 512), 'backup 1'],
    ];
    for (const [base, identity] of others) {
      await assert.rejects(attempt(base, { identity }), {
        code: 'VB_OVERLAY_OTHER',
        message: /vda of backup 1 with/,
        cure: /serve/,
      });
    }
    await rename(join(path, 'vda.overlay'), join(path, 'vdb.overlay'));
    await assert.rejects(attempt(disk(), { name: 'vdb' }), { code: 'VB_OVERLAY_OTHER' });
    await rename(join(path, 'vdb.overlay'), join(path, 'vda.overlay'));
    assert.equal((await attempt(disk()))[1023], 7, 'and is what it was');
  });

  it('says that a file is damaged, rather than serve what is in it', async () => {
    await written();
    const file = join(path, 'vda.overlay');
    const flip = async (position: number): Promise<void> => {
      await using handle = await open(file, 'r+');
      const byte = Buffer.alloc(1);
      await handle.read(byte, 0, 1, position);
      await handle.write(Buffer.from([255 - (byte[0] ?? 0)]), 0, 1, position);
    };
    const lastPage = 8192 + Math.floor(SIZE / 65_536_000) * 8192;
    for (const position of [0, 20, 4095, lastPage + 4096, lastPage + 4096 + 100, lastPage + 8191]) {
      await flip(position);
      await assert.rejects(attempt(disk()), { code: 'VB_OVERLAY_DAMAGED' }, `byte ${position}`);
      await flip(position);
      // An attempt that failed at the map left the mark of an overlay in use, with which a torn slot is given up.
      await closedAgain(file);
    }
    assert.equal((await attempt(disk()))[1023], 7);
    await truncate(file, 12_345);
    await assert.rejects(attempt(disk()), { code: 'VB_OVERLAY_DAMAGED', message: /bytes, not/ });
    await writeFile(file, '');
    await assert.rejects(attempt(disk()), { code: 'VB_OVERLAY_DAMAGED', message: /too short/ });
  });

  it('writes what docs/formats/overlay.md says', async () => {
    await written();
    await using file = await open(join(path, 'vda.overlay'), 'r');
    const at = async (position: number, length: number): Promise<Buffer> => {
      const bytes = Buffer.alloc(length);
      await file.read(bytes, 0, length, position);
      return bytes;
    };
    const sealed = (bytes: Buffer): boolean =>
      createHash('sha256').update(bytes.subarray(0, 4064)).digest().equals(bytes.subarray(4064));
    const header = await at(0, 4096);
    assert.equal(header.toString('latin1', 0, 8), 'VBOVRLAY');
    assert.deepEqual(
      [header.readUInt32BE(8), header.readUInt32BE(12), header.readBigUInt64BE(16)],
      [1, 4096, BigInt(SIZE)],
    );
    const text = '{"base":"backup 1","disk":"vda"}';
    assert.equal(header.toString('utf8', 64, 64 + header.readUInt32BE(40)), text);
    const mark = await at(4096, 4096);
    assert.deepEqual([mark.toString('latin1', 0, 8), mark.readUInt32BE(8)], ['VBOVMARK', 1]);
    // 164 pages of 62.5 MiB; the first generation goes to the second slot.
    const page = await at(8192 + 163 * 8192 + 4096, 4096);
    assert.deepEqual(
      [page.toString('latin1', 0, 8), page.readBigUInt64BE(8), page.readBigUInt64BE(16)],
      ['VBOVPAGE', 163n, 1n],
    );
    assert.deepEqual(page.subarray(24, 40), header.subarray(24, 40));
    const block = Math.floor((SIZE - 512) / 4096) - 163 * 16_000;
    const expected = Buffer.alloc(4000);
    expected[Math.floor(block / 4)] = 4 ** (block % 4);
    assert.deepEqual(page.subarray(64, 4064), expected);
    for (const bytes of [header, mark, page]) assert.ok(sealed(bytes));
    const dataOffset = Math.ceil((8192 + 164 * 8192) / 1_048_576) * 1_048_576;
    assert.deepEqual(await at(dataOffset + SIZE - 512, 513), Buffer.alloc(513, 7).fill(0, 512));
    assert.equal((await file.stat()).size, dataOffset + SIZE);
  });
});

async function closedAgain(file: string): Promise<void> {
  await using handle = await open(file, 'r+');
  await handle.write(encodeMark(true), 0, 4096, 4096);
}
