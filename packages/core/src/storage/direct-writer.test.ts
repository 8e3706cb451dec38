import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { type FileHandle, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SlotPool } from '../memory/slot-pool.js';
import { skipEverywhere } from '../testing/tools.js';
import { DirectWriter } from './direct-writer.js';

const PAGE = 4096;

describe('DirectWriter', () => {
  let folder: string;
  let file: FileHandle;
  let writer: DirectWriter;

  beforeEach(async function () {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-direct-'));
    file = await open(join(folder, 'file'), 'w');
    const opened = await DirectWriter.open(file);
    if (opened === null) {
      await file.close();
      skipEverywhere(this, 'the file system of temporary files has no direct writes');
    }
    writer = opened;
  });
  afterEach(async () => {
    await writer[Symbol.asyncDispose]();
    await file.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('writes the whole pages of a pooled slot, and says how far it came', async () => {
    using slots = new SlotPool({ count: 2, length: 4 * PAGE });
    const slot = await slots.acquire();
    randomFillSync(slot.buffer);
    const bytes = slot.buffer.subarray(0, 3 * PAGE + 100);
    const written = await writer.write(bytes, PAGE);
    // A file system without direct writes refuses the first one; then nothing is written.
    assert.ok(written === 3 * PAGE || written === 0, String(written));
    await file.write(bytes, written, bytes.length - written, PAGE + written);
    assert.deepEqual(await readFile(join(folder, 'file')), Buffer.concat([Buffer.alloc(PAGE), bytes]));
    slot.release();
  });

  it('leaves to others what does not lie on pages, in the file or in memory', async () => {
    using slots = new SlotPool({ count: 1, length: 4 * PAGE });
    const slot = await slots.acquire();
    const { buffer } = slot;
    assert.equal(await writer.write(buffer, 512), 0);
    assert.equal(await writer.write(buffer.subarray(512), 0), 0);
    assert.equal(await writer.write(buffer.subarray(0, PAGE - 1), 0), 0);
    assert.equal(await writer.write(Buffer.alloc(2 * PAGE), 0), 0);
    assert.equal((await file.stat()).size, 0);
    slot.release();
  });
});
