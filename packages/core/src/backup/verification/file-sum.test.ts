import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { sharedWorkers } from '../workers/worker-pool.js';
import { FileSum } from './file-sum.js';

const LENGTH = 700_001;

describe('FileSum', () => {
  const content = randomBytes(LENGTH);
  const sha256 = createHash('sha256').update(content).digest('hex');
  const lease = sharedWorkers.lease();
  let folder: string;
  let file: FileHandle;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-sum-'));
    await writeFile(join(folder, 'file'), content);
    file = await open(join(folder, 'file'), 'r');
  });
  after(async () => {
    await file.close();
    await rm(folder, { recursive: true });
    await lease[Symbol.asyncDispose]();
  });

  const bytesAt = (start: number, end: number): Buffer => {
    const bytes = Buffer.from(new SharedArrayBuffer(end - start));
    content.copy(bytes, 0, start, end);
    return bytes;
  };

  it('is that of the file, whatever pieces are given, overlap, are left out or come late', async () => {
    const piece = fc.record({
      gap: fc.integer({ min: -50_000, max: 100_000 }),
      length: fc.integer({ min: 0, max: 200_000 }),
      turns: fc.nat(3),
      lost: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
        await using sum = new FileSum(file, sharedWorkers);
        const adding: Promise<void>[] = [];
        let at = 0;
        for (const { gap, length, turns, lost } of pieces) {
          const start = Math.min(LENGTH, Math.max(0, at + gap));
          const end = Math.min(LENGTH, start + length);
          const read = async (): Promise<Buffer | null> => {
            for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
            return lost ? null : bytesAt(start, end);
          };
          adding.push(sum.add({ start, end, bytes: read() }));
          at = end;
        }
        await Promise.all(adding);
        assert.equal(await sum.end(), sha256);
      }),
      { numRuns: 60 },
    );
  });

  it('is of what was given, not of what the file holds by now', async () => {
    await using sum = new FileSum(file, sharedWorkers);
    const other = bytesAt(0, LENGTH);
    other.writeUInt8(255 - other.readUInt8(5), 5);
    await sum.add({ start: 0, end: LENGTH, bytes: Promise.resolve(other) });
    assert.equal(await sum.end(), createHash('sha256').update(other).digest('hex'));
  });

  it('is null where the file cannot be read, and no piece of it fails', async () => {
    const gone = await open(join(folder, 'file'), 'r');
    await gone.close();
    await using sum = new FileSum(gone, sharedWorkers);
    await sum.add({ start: 10, end: 20, bytes: Promise.reject(new Error('unreadable')) });
    await sum.add({ start: 30, end: 40, bytes: Promise.resolve(bytesAt(30, 40)) });
    assert.equal(await sum.end(), null);
  });
});
