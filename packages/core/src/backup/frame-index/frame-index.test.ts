import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import { type FrameRecord, RECORD_LENGTH } from './frame-record.js';
import { FrameIndexReader } from './index-reader.js';
import { FrameIndexWriter } from './index-writer.js';

const KiB = 1024;

/** `count` frames of 64 KiB, every third one zero. */
const frames = (count: number): readonly FrameRecord[] =>
  Array.from({ length: count }, (_, number) => {
    const zero = number % 3 === 2;
    return {
      kind: zero ? 'zero' : 'data',
      offset: number * 64 * KiB,
      length: 64 * KiB,
      fileOffset: 400 + number * 200,
      storedLength: zero ? 0 : 100,
      digest: zero ? Buffer.alloc(32) : Buffer.alloc(32, number + 1),
    };
  });

describe('the index of frames', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-index-'));
    path = join(folder, 'index');
  });
  afterEach(() => rm(folder, { recursive: true }));

  const write = async (
    records: readonly FrameRecord[],
    size: number,
    algorithm: DigestAlgorithm = 'blake3',
  ): Promise<void> => {
    await using file = await open(path, 'w');
    const writer = new FrameIndexWriter(file, { size, algorithm });
    for (const record of records) await writer.append(record);
    await writer.finish();
  };

  const read = async (): Promise<readonly FrameRecord[]> => {
    await using index = await FrameIndexReader.open(path);
    const found: FrameRecord[] = [];
    for await (const record of index.scan()) found.push(record);
    return found;
  };

  for (const count of [0, 1, 1023, 1024, 3000]) {
    it(`gives ${count} frames back, all and one by one`, async () => {
      const records = frames(count);
      await write(records, count * 64 * KiB);
      assert.deepEqual(await read(), records);
      await using index = await FrameIndexReader.open(path);
      assert.deepEqual([index.count, index.size, index.algorithm], [count, count * 64 * KiB, 'blake3']);
      for (const number of [count - 1, 0, Math.floor(count / 2)]) {
        if (number >= 0 && count > 0) assert.deepEqual(await index.record(number), records[number]);
      }
    });
  }

  it('is laid out as its description says', async () => {
    await write(frames(1), 64 * KiB);
    const bytes = await readFile(path);
    assert.equal(bytes.length, 3 * RECORD_LENGTH);
    assert.equal(
      bytes.subarray(0, 64).toString('hex'),
      `7662696e646578000200000040000000${'0000010000000000'}${'626c616b6533'.padEnd(80, '0')}`,
    );
    assert.equal(
      bytes.subarray(64, 128).toString('hex'),
      `01000000640000000000000000000000000001000000000090010000000000${'00'}${'01'.repeat(32)}`,
    );
    assert.equal(bytes.toString('latin1', 128, 136), 'vbindend');
  });

  it('is of version 1, without a name, where its digests are SHA-256', async () => {
    await write(frames(1), 64 * KiB, 'sha256');
    const bytes = await readFile(path);
    assert.equal(
      bytes.subarray(0, 64).toString('hex'),
      `7662696e646578000100000040000000${'0000010000000000'}${'00'.repeat(40)}`,
    );
    assert.deepEqual(await read(), frames(1));
    await using index = await FrameIndexReader.open(path);
    assert.equal(index.algorithm, 'sha256');
  });

  it('tells SHA-256 by its name too', async () => {
    await write(frames(1), 64 * KiB);
    const bytes = await readFile(path);
    bytes.fill(0, 24, 40).write('sha256', 24, 'latin1');
    createHash('sha256')
      .update(bytes.subarray(0, -64))
      .digest()
      .copy(bytes, bytes.length - 32);
    await writeFile(path, bytes);
    assert.deepEqual(await read(), frames(1));
  });

  for (const [fault, harm] of [
    ['a version that is not known', (bytes: Buffer) => bytes.writeUInt32LE(3, 8)],
    ['digests that are not known', (bytes: Buffer) => bytes.write('blake4', 24, 'latin1')],
    ['a name that goes on', (bytes: Buffer) => bytes.write('\0\0x', 30, 'latin1')],
    ['no name', (bytes: Buffer) => bytes.fill(0, 24, 40)],
  ] as const) {
    it(`is refused when it has ${fault}`, async () => {
      await write(frames(1), 64 * KiB);
      const bytes = await readFile(path);
      harm(bytes);
      await writeFile(path, bytes);
      await assert.rejects(read(), { code: 'VB_INDEX_DAMAGED', message: /version 3|digests that are not known/ });
    });
  }

  it('is refused when it is cut anywhere', async () => {
    await write(frames(3), 192 * KiB);
    const bytes = await readFile(path);
    for (let length = 0; length < bytes.length; length += 1) {
      await writeFile(path, bytes.subarray(0, length));
      await assert.rejects(read(), { code: 'VB_INDEX_DAMAGED' }, `${length} bytes`);
    }
  });

  it('is refused when any byte differs', async () => {
    await write(frames(3), 192 * KiB);
    const bytes = await readFile(path);
    for (let at = 0; at < bytes.length; at += 1) {
      const harmed = Buffer.from(bytes);
      harmed.writeUInt8(255 - harmed.readUInt8(at), at);
      await writeFile(path, harmed);
      // The zeros at the end of the footer mean nothing, and are under the manifest's digest of the file.
      if (at >= bytes.length - 48 && at < bytes.length - 32) continue;
      await assert.rejects(read(), { code: 'VB_INDEX_DAMAGED' }, `byte ${at}`);
    }
  });
});
