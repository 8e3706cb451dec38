import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { clip, type Extent } from '../../extent/index.js';
import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import { digestOf } from '../frame-digest/frame-digest.js';
import { DamagedFrameError } from '../image/damaged-frame.js';
import type { Fingerprint, ImageReader, ImageWriter } from '../image.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { CompareWriter } from './compare-writer.js';

const KiB = 1024;
const PAGE = 64 * KiB;
const MiB = 1024 * KiB;

/** An image whose frames are given; it answers late for early frames, so that comparisons end out of order. */
class FakeImage implements ImageReader {
  readonly size: number;
  readonly reads: string[] = [];
  damaged = -1;
  algorithm: DigestAlgorithm = 'blake3';
  readonly #content: Buffer;
  readonly #frames: readonly Extent[];

  constructor(content: Buffer, frames: readonly Extent[]) {
    this.#content = content;
    this.#frames = frames;
    this.size = content.length;
  }

  extents(): never {
    throw new Error('fingerprints say more');
  }

  async *fingerprints(range: Extent): AsyncGenerator<Fingerprint> {
    for (const { offset, length } of clip(this.#frames, range)) {
      const frame = this.#frames.find((other) => other.offset === offset && other.length === length);
      const bytes = this.#content.subarray(offset, offset + length);
      const zero = bytes.equals(Buffer.alloc(length));
      const { algorithm } = this;
      const digest = zero || frame === undefined ? null : { algorithm, bytes: digestOf(algorithm, bytes) };
      yield { kind: zero ? 'zero' : 'data', offset, length, digest };
    }
  }

  async read(offset: number, target: Buffer): Promise<void> {
    this.reads.push(`${offset / KiB} ${target.length / KiB}`);
    for (let turn = 0; turn < 4 - offset / MiB; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    if (offset === this.damaged) {
      const place = { file: 'f', offset: 7, extent: { offset, length: target.length }, what: 'x' };
      throw new DamagedFrameError('VB_FRAME_DIGEST', place, 'digest differs');
    }
    this.#content.copy(target, 0, offset, offset + target.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

class CallWriter implements ImageWriter {
  readonly calls: string[] = [];

  async data(offset: number, bytes: Buffer): Promise<void> {
    this.calls.push(`data ${offset / KiB} ${bytes.length / KiB}`);
  }

  async zero(offset: number, length: number): Promise<void> {
    this.calls.push(`zero ${offset / KiB} ${length / KiB}`);
  }

  async finish(): Promise<never> {
    throw new Error('nobody finishes');
  }

  async abort(): Promise<void> {}
}

class PlanWriter extends CallWriter {
  dataIsLess(): void {
    this.calls.push('unchanged');
  }
}

const frames = (size: number, length: number): readonly Extent[] =>
  Array.from({ length: Math.ceil(size / length) }, (_, at) => ({
    offset: at * length,
    length: Math.min(length, size - at * length),
  }));

const flip = (bytes: Buffer, at: number): number => bytes.writeUInt8(255 - bytes.readUInt8(at), at);

describe('CompareWriter', () => {
  const workers = sharedWorkers.lease();
  after(() => workers[Symbol.asyncDispose]());

  const damages: DamagedFrameError[] = [];
  beforeEach(() => damages.splice(0));

  const over = (parent: ImageReader, inner: ImageWriter): CompareWriter =>
    new CompareWriter({ inner, parent, workers: sharedWorkers, onDamage: (error) => damages.push(error) });

  it('hands on the pages that differ, in order, though the first comparison ends last', async () => {
    const content = randomBytes(4 * MiB);
    const parent = new FakeImage(content, frames(4 * MiB, MiB));
    const inner = new CallWriter();
    const now = Buffer.from(content);
    for (const at of [3 * PAGE, 4 * PAGE + 5, 9 * PAGE, MiB, 3 * MiB + 15 * PAGE]) flip(now, at);
    await using writer = over(parent, inner);
    await Promise.all([0, 1, 2, 3].map((at) => writer.data(at * MiB, now.subarray(at * MiB, (at + 1) * MiB))));
    assert.deepEqual(inner.calls, ['data 192 128', 'data 576 64', 'data 1024 64', 'data 4032 64']);
    assert.deepEqual(parent.reads.toSorted(), ['0 1024', '1024 1024', '3072 1024']);
  });

  it('reads nothing of the parent where digests say enough', async () => {
    const content = Buffer.concat([randomBytes(MiB), Buffer.alloc(MiB), randomBytes(MiB)]);
    const parent = new FakeImage(content, frames(3 * MiB, MiB));
    const inner = new CallWriter();
    await using writer = over(parent, inner);
    await writer.data(0, content.subarray(0, MiB));
    await writer.zero(MiB, MiB);
    await writer.zero(2 * MiB, MiB);
    assert.deepEqual(inner.calls, ['zero 2048 1024']);
    assert.deepEqual(parent.reads, []);
  });

  it('says when less is data than a plan takes for it, before it is given', async () => {
    const content = Buffer.concat([randomBytes(MiB), Buffer.alloc(MiB)]);
    const inner = new PlanWriter();
    await using writer = over(new FakeImage(content, frames(2 * MiB, MiB)), inner);
    await writer.data(0, randomBytes(MiB / 2));
    await writer.zero(MiB, PAGE);
    assert.deepEqual(inner.calls.splice(0), ['data 0 512'], 'all data has changed, and no zeros');
    await writer.data(MiB / 2, Buffer.concat([content.subarray(MiB / 2, MiB - PAGE), randomBytes(PAGE)]));
    assert.deepEqual(inner.calls.splice(0), ['unchanged', 'data 960 64']);
    assert.equal(writer.keepsZeros(), false);
    assert.deepEqual(inner.calls.splice(0), ['unchanged']);
  });

  it('looks at the bytes where a call holds a part of a frame, of data and of zeros', async () => {
    const content = Buffer.concat([randomBytes(MiB / 2), Buffer.alloc(MiB / 2), randomBytes(MiB)]);
    const parent = new FakeImage(content, frames(2 * MiB, 2 * MiB));
    const inner = new CallWriter();
    await using writer = over(parent, inner);
    await writer.data(0, content.subarray(0, MiB / 2));
    await writer.zero(MiB / 2, MiB / 2);
    await writer.zero(MiB, PAGE);
    await writer.data(MiB + PAGE, content.subarray(MiB + PAGE));
    assert.deepEqual(inner.calls, ['zero 1024 64']);
  });

  it('takes what the disk has grown by for zeros, to the page in which the parent ends', async () => {
    const content = randomBytes(MiB + 512);
    const parent = new FakeImage(content, frames(MiB + 512, MiB));
    const inner = new CallWriter();
    const now = Buffer.concat([content, Buffer.alloc(MiB - 512)]);
    await using writer = over(parent, inner);
    await writer.data(0, now);
    await writer.zero(2 * MiB, MiB);
    assert.deepEqual(inner.calls, []);
    now.fill(1, MiB + 600, MiB + 601);
    now.fill(1, 2 * MiB - 1);
    await writer.data(MiB, now.subarray(MiB));
    await writer.data(5 * MiB, randomBytes(512));
    assert.deepEqual(inner.calls, ['data 1024 64', 'data 1984 64', 'data 5120 0.5']);
  });

  it('hands on what it cannot compare, and says so', async () => {
    const content = randomBytes(2 * MiB);
    const parent = new FakeImage(content, frames(2 * MiB, MiB));
    parent.damaged = MiB;
    const inner = new CallWriter();
    await using writer = over(parent, inner);
    const now = Buffer.from(content);
    now.fill(7, MiB, MiB + 1);
    await writer.data(0, now);
    assert.deepEqual(inner.calls, ['data 1024 1024']);
    assert.deepEqual(
      damages.map(({ code, extent }) => [code, extent]),
      [['VB_FRAME_DIGEST', { offset: MiB, length: MiB }]],
    );
  });

  it('hands nothing on behind a failure, and waits for its comparisons when it is disposed', async () => {
    const content = randomBytes(3 * MiB);
    const parent = new FakeImage(content, frames(3 * MiB, MiB));
    const fault = new Error('fault');
    let settled = 0;
    parent.read = async (offset) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      settled += 1;
      if (offset === 0) throw fault;
    };
    const inner = new CallWriter();
    const other = randomBytes(3 * MiB);
    const calls: Promise<void>[] = [];
    {
      await using writer = over(parent, inner);
      for (const at of [0, 1, 2]) calls.push(writer.data(at * MiB, other.subarray(at * MiB, (at + 1) * MiB)));
      for (const call of calls) call.catch(() => undefined);
      await assert.rejects(Promise.race(calls), fault);
    }
    const afterwards = settled;
    for (const call of await Promise.allSettled(calls)) assert.equal(call.status, 'rejected');
    assert.deepEqual(inner.calls, []);
    assert.equal(settled, afterwards);
  });

  it('never hands on a range that begins or ends inside a page, but at the ends of a call', async () => {
    const content = randomBytes(MiB);
    const parent = new FakeImage(content, [
      { offset: 0, length: 100_000 },
      { offset: 100_000, length: MiB - 100_000 },
    ]);
    const inner = new CallWriter();
    const now = Buffer.from(content);
    flip(now, 100_001);
    await using writer = over(parent, inner);
    await writer.data(0, now.subarray(0, 900_000));
    assert.deepEqual(inner.calls, ['data 64 64']);
  });
});
