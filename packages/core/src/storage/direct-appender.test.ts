import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
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
