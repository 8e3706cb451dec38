import assert from 'node:assert/strict';
import { createHash, randomFillSync } from 'node:crypto';
import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adler32 } from '../../sparse-stream/adler32.js';
import { decompressFrames } from '../../sparse-stream/lz4-decode.js';
import { WorkerPool } from './worker-pool.js';

const FRAME_LENGTH = 64 * 1024;
/** More than go in one message to each of two workers. */
const FRAME_COUNT = 200;

const pool = (): WorkerPool => new WorkerPool({ module: new URL('./frame.worker.js', import.meta.url), count: 2 });
const memory = (length: number): Buffer => Buffer.from(new SharedArrayBuffer(length));
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('WorkerPool', () => {
  it('gives each of many small frames of one turn its own digest', async () => {
    const workers = pool();
    await using _lease = workers.lease();
    const frames = Array.from({ length: FRAME_COUNT }, (_, at) => randomFillSync(memory(at === 0 ? 1 : FRAME_LENGTH)));
    const done = await Promise.all(frames.map((frame) => workers.encode({ algorithm: 'sha256', input: frame })));
    assert.deepEqual(
      done.map(({ digest }) => digest.toString('hex')),
      frames.map(sha256),
    );
  });

  it('encodes several frames in one job, their LZ4 frames one behind the other', async () => {
    const workers = pool();
    await using _lease = workers.lease();
    const lengths = [1, FRAME_LENGTH, 5000];
    const inputs = lengths.map((length, at) => (at === 1 ? memory(length) : randomFillSync(memory(length))));
    const output = memory(2 * FRAME_LENGTH);
    const plain = await workers.encodeAll({ algorithm: 'sha256', inputs });
    const done = await workers.encodeAll({ algorithm: 'sha256', inputs, output });
    assert.deepEqual(
      plain.map(({ length }) => length),
      lengths,
    );
    let at = 0;
    for (const [index, { digest, length }] of done.entries()) {
      const bytes = inputs[index] ?? assert.fail();
      assert.equal(digest.toString('hex'), sha256(bytes));
      assert.ok(plain[index]?.digest.equals(digest));
      assert.ok(decompressFrames(output.subarray(at, at + length), bytes.length).equals(bytes));
      at += length;
    }
    assert.ok(at < FRAME_LENGTH, 'zeros shrink');
  });

  it('fails one frame of a message, and no other in it', async () => {
    const workers = pool();
    await using _lease = workers.lease();
    const bytes = randomFillSync(memory(FRAME_LENGTH));
    const stored = memory(FRAME_LENGTH + 4096);
    const { length } = await workers.encode({ algorithm: 'sha256', input: bytes, output: stored });
    const damaged = memory(length);
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, (_, at) =>
        workers.decode({
          algorithm: 'sha256',
          input: at % 4 === 1 ? damaged : stored.subarray(0, length),
          output: memory(FRAME_LENGTH),
          start: 0,
        }),
      ),
    );
    const told = results.map((result) =>
      result.status === 'fulfilled' ? result.value.digest.toString('hex') : result.reason.code,
    );
    const digest = sha256(bytes);
    const bad = 'VB_FRAME_DAMAGED';
    assert.deepEqual(told, [digest, bad, digest, digest, digest, bad, digest, digest]);
  });

  it('starts as many threads as what will come is worth', async () => {
    const workers = pool();
    await using _none = workers.lease();
    assert.equal(workers.threads, 0);
    await using _little = workers.lease({ work: 64 * 1024 });
    assert.equal(workers.threads, 1);
    await using _much = workers.lease({ work: 1024 * 1024 * 1024 });
    assert.equal(workers.threads, 2);
  });

  it('starts no second thread for a few frames and a sum, and one for more than the first gets done', async () => {
    const workers = pool();
    await using _lease = workers.lease();
    const encode = () => workers.encode({ algorithm: 'sha256', input: memory(FRAME_LENGTH) });
    const sum = workers.startSum({ adler32: false });
    const few = [sum.add(memory(FRAME_LENGTH)), encode(), encode()];
    assert.equal(workers.threads, 1);
    const many = Array.from({ length: FRAME_COUNT }, encode);
    assert.equal(workers.threads, 2);
    await Promise.all([...few, ...many]);
    await sum.end();
  });

  describe('with a long file', () => {
    const size = 128 * 1024 * 1024 + 5;
    let folder: string;
    let path: string;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'vbackup-worker-pool-'));
      path = join(folder, 'file');
      await writeFile(path, 'front');
      await truncate(path, size - 4);
      await appendFile(path, 'tail');
    });
    after(() => rm(folder, { recursive: true }));

    it('goes on with other sums of the same thread while it is read, and makes its own of all of it', async () => {
      const workers = new WorkerPool({ module: new URL('./frame.worker.js', import.meta.url), count: 1 });
      await using _lease = workers.lease();
      const order: string[] = [];
      const file = workers.digestFile(path, { adler32: true }).finally(() => order.push('file'));
      const sum = workers.startSum({ adler32: false });
      await sum.add(memory(FRAME_LENGTH));
      const { sha256: ofFrame } = await sum.end().finally(() => order.push('sum'));
      assert.equal(ofFrame, sha256(memory(FRAME_LENGTH)));
      const bytes = await readFile(path);
      assert.deepEqual(await file, { size, sha256: sha256(bytes), adler32: adler32(bytes) });
      assert.deepEqual(order, ['sum', 'file']);
    });

    it('gives it up when nobody waits for it, and takes other work', async () => {
      const workers = new WorkerPool({ module: new URL('./frame.worker.js', import.meta.url), count: 1 });
      await using _lease = workers.lease();
      const stop = new AbortController();
      const file = workers.digestFile(path, { signal: stop.signal });
      stop.abort(new Error('enough'));
      await assert.rejects(file, /enough/);
      const bytes = randomFillSync(memory(FRAME_LENGTH));
      const { digest } = await workers.encode({ algorithm: 'sha256', input: bytes });
      assert.equal(digest.toString('hex'), sha256(bytes));
      await assert.rejects(workers.digestFile(join(folder, 'none')), { code: 'VB_IO' });
    });
  });

  it('leaves no promise open of frames that had not left when it was terminated', async () => {
    const workers = pool();
    const lease = workers.lease();
    const settled = Promise.allSettled(
      Array.from({ length: FRAME_COUNT }, () => workers.encode({ algorithm: 'sha256', input: memory(FRAME_LENGTH) })),
    );
    await lease[Symbol.asyncDispose]();
    for (const result of await settled) {
      if (result.status === 'rejected') assert.equal(result.reason.code, 'VB_INTERNAL');
    }
  });
});
