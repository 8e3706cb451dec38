import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type MountedFileSystem, mountFileSystem } from '../testing/mounted-file-system.js';
import { skipEverywhere } from '../testing/tools.js';
import { AppendFile } from './append-file.js';
import { DirectAppender } from './direct-appender.js';

const MiB = 1024 * 1024;
const NO_DIRECT_WRITES = 'the file system of temporary files has no direct writes';

describe('DirectAppender', () => {
  let folder: string;
  let path: string;
  let file: AppendFile;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-appender-'));
    path = join(folder, 'file');
    file = await AppendFile.create(path);
  });
  afterEach(async () => {
    await file[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const lengths = [0, 1, 512, 4096, 2 * MiB - 1, 2 * MiB, 2 * MiB + 1, 7 * MiB + 512];
  for (const length of lengths) {
    it(`writes ${length} bytes that come in pieces of any length`, async function () {
      await using appender = await DirectAppender.open(file);
      if (appender === null) return skipEverywhere(this, NO_DIRECT_WRITES);
      const bytes = randomFillSync(Buffer.alloc(length));
      const scratch = Buffer.alloc(5 * MiB);
      for (let at = 0, step = 1; at < length; at += step, step = Math.min(3 * step, scratch.length - 1)) {
        const piece = bytes.subarray(at, at + step);
        piece.copy(scratch, 1);
        await appender.append([scratch.subarray(1, 1), scratch.subarray(1, 1 + piece.length)]);
        // It belongs to the caller again.
        scratch.fill(0xee);
      }
      assert.equal(appender.length, length);
      await appender.sync();
      assert.ok((await readFile(path)).equals(bytes));
    });
  }

  it('shows what it writes block by block, and leaves it as it is until that was looked at', async () => {
    const shown: Buffer[] = [];
    const bytes = randomFillSync(Buffer.alloc(13 * MiB + 77));
    const look = async (block: Buffer): Promise<void> => {
      await delay(5);
      shown.push(Buffer.from(block));
    };
    await using appender = await DirectAppender.openShowing(file, look);
    for (let at = 0; at < bytes.length; at += 700_001) await appender.append([bytes.subarray(at, at + 700_001)]);
    await appender.flush();
    assert.ok(Buffer.concat(shown).equals(bytes));
    await appender.sync();
    assert.ok((await readFile(path)).equals(bytes));
  });

  it('tells of a block that cannot be written, at the latest when it is synced', async function () {
    await using appender = await DirectAppender.open(file);
    if (appender === null) return skipEverywhere(this, NO_DIRECT_WRITES);
    await appender.append([Buffer.alloc(MiB + 1)]);
    // The last byte goes through the file itself.
    await file.handle.close();
    await assert.rejects(appender.sync(), { code: 'VB_IO' });
    await assert.rejects(appender.sync(), { code: 'VB_IO' });
  });
});

describe('DirectAppender where there are no direct writes', () => {
  let mounted: MountedFileSystem;
  let path: string;
  let file: AppendFile;

  before(function () {
    mounted = mountFileSystem(this, 'ramfs');
    path = join(mounted.path, 'file');
  });
  after(() => mounted?.[Symbol.dispose]());
  beforeEach(async () => {
    file = await AppendFile.create(path);
  });
  afterEach(() => file[Symbol.asyncDispose]());

  it('is none, unless somebody wants to see the blocks', async () => {
    assert.equal(await DirectAppender.open(file), null);
  });

  for (const length of [0, 1, 2 * MiB - 1, 2 * MiB, 7 * MiB + 512]) {
    it(`writes ${length} bytes through the page cache, shows them, and goes on after a flush`, async () => {
      const shown: Buffer[] = [];
      const bytes = randomFillSync(Buffer.alloc(length));
      await using appender = await DirectAppender.openShowing(file, async (block) => {
        await delay(1);
        shown.push(Buffer.from(block));
      });
      const scratch = Buffer.alloc(700_001);
      for (let at = 0; at < length; at += scratch.length) {
        const count = bytes.copy(scratch, 0, at);
        await appender.append([scratch.subarray(0, count)]);
        // It belongs to the caller again.
        scratch.fill(0xee);
      }
      await appender.flush();
      assert.ok((await readFile(path)).equals(bytes));
      await appender.append([Buffer.from('more')]);
      assert.equal(appender.length, length + 4);
      await appender.sync();
      const expected = Buffer.concat([bytes, Buffer.from('more')]);
      assert.ok((await readFile(path)).equals(expected));
      assert.ok(Buffer.concat(shown).equals(expected));
    });
  }

  it('tells of a block that cannot be written, at the latest when it is synced', async () => {
    await using appender = await DirectAppender.openShowing(file, async () => undefined);
    await appender.append([Buffer.alloc(MiB)]);
    await file.handle.close();
    await assert.rejects(appender.sync(), { code: 'VB_IO' });
    await assert.rejects(appender.append([Buffer.alloc(2 * MiB)]), { code: 'VB_IO' });
  });
});
