import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { BlockReader } from '../../hypervisor/index.js';
import { FakeReader } from '../../testing/index.js';
import type { ImageWriter } from '../image.js';
import { copyDisk } from './copy-disk.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Keeps what it gets, and whether it came in order. */
class MemoryWriter implements ImageWriter {
  readonly image: Buffer;
  readonly calls: string[] = [];
  #end = 0;

  constructor(size: number) {
    this.image = Buffer.alloc(size, 255);
  }

  async data(offset: number, bytes: Buffer): Promise<void> {
    this.#advance(offset, bytes.length, 'data');
    await new Promise((resolve) => setImmediate(resolve));
    bytes.copy(this.image, offset);
  }

  async zero(offset: number, length: number): Promise<void> {
    this.#advance(offset, length, 'zero');
    this.image.fill(0, offset, offset + length);
  }

  async finish(): Promise<never> {
    throw new Error('the caller finishes');
  }

  async abort(): Promise<void> {}

  #advance(offset: number, length: number, kind: string): void {
    assert.ok(offset >= this.#end);
    this.#end = offset + length;
    this.calls.push(`${kind} ${offset / KiB} ${length / KiB}`);
  }
}

describe('copyDisk', () => {
  it('hands a disk over in order, zeros found, its tail included', async () => {
    const size = 3 * MiB + 512;
    const content = Buffer.alloc(size);
    randomBytes(64 * KiB).copy(content, MiB + 64 * KiB);
    content.fill(1, size - 1);
    const writer = new MemoryWriter(size);
    const done: number[] = [];
    const onProgress = (bytes: number): void => {
      done.push(bytes);
    };
    const extents = [{ offset: 0, length: size }];
    const { readLength } = await copyDisk({ reader: new FakeReader(content), writer, size, extents, onProgress });
    assert.ok(writer.image.equals(content));
    assert.deepEqual(writer.calls, [
      'zero 0 1024',
      'zero 1024 64',
      'data 1088 64',
      'zero 1152 896',
      'zero 2048 1024',
      'data 3072 0.5',
    ]);
    assert.equal(readLength, size);
    assert.equal(done.at(-1), size);
  });

  it('reads changed ranges only, in whole pages', async () => {
    const content = randomBytes(8 * MiB);
    const writer = new MemoryWriter(content.length);
    const extents = [
      { offset: 100, length: 1 },
      { offset: 200 * KiB, length: 1 },
      { offset: 2 * MiB - 1, length: 2 },
    ];
    const reader = new FakeReader(content);
    const { readLength } = await copyDisk({ reader, writer, size: content.length, extents });
    assert.deepEqual(writer.calls, ['data 0 64', 'data 192 64', 'data 1984 64', 'data 2048 64']);
    assert.equal(readLength, 256 * KiB);
  });

  it('keeps no more in flight than the device takes, and no more than 4 MiB', async () => {
    let count = 0;
    let bytes = 0;
    const most = { count: 0, bytes: 0 };
    const reader: BlockReader = {
      size: 64 * MiB,
      limits: { alignment: 1, maximumRequest: 32 * MiB, maximumInFlight: 3 },
      read: async (_offset, target) => {
        count += 1;
        bytes += target.length;
        most.count = Math.max(most.count, count);
        most.bytes = Math.max(most.bytes, bytes);
        await new Promise((resolve) => setImmediate(resolve));
        target.fill(1);
        count -= 1;
        bytes -= target.length;
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
    const writer = new MemoryWriter(reader.size);
    await copyDisk({ reader, writer, size: reader.size, extents: [{ offset: 0, length: reader.size }] });
    assert.deepEqual(most, { count: 3, bytes: 3 * MiB });
  });

  it('asks for neighbours of a slot together where the device can do that, for 1 MiB at most', async () => {
    const content = randomBytes(8 * MiB);
    const asked: string[] = [];
    const plain = new FakeReader(content);
    const reader: BlockReader = {
      size: plain.size,
      limits: { ...plain.limits, maximumInFlight: 1 },
      read: () => assert.fail(),
      readAll: async (pieces, options) => {
        asked.push(`${pieces.length} of ${pieces.reduce((sum, { target }) => sum + target.length, 0) / KiB}`);
        for (const { offset, target } of pieces) await plain.read(offset, target, options);
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
    const writer = new MemoryWriter(content.length);
    const fragments = Array.from({ length: 20 }, (_, at) => ({ offset: at * 128 * KiB, length: 64 * KiB }));
    const extents = [...fragments, { offset: 4 * MiB + 64 * KiB, length: 3 * MiB }];
    await copyDisk({ reader, writer, size: content.length, extents });
    assert.deepEqual(asked, ['16 of 1024', '4 of 256', '4 of 960', '4 of 1024', '4 of 1024', '1 of 64']);
    for (const { offset, length } of extents) {
      const end = offset + length;
      assert.ok(writer.image.subarray(offset, end).equals(content.subarray(offset, end)));
    }
  });

  it('tells the first failure, of the device or of the writer, when every read is settled', async () => {
    const content = randomBytes(16 * MiB);
    let open = 0;
    const reader = new FakeReader(content, {
      onRead: async (offset) => {
        open += 1;
        await new Promise((resolve) => setImmediate(resolve));
        open -= 1;
        if (offset === 5 * MiB) throw new Error('device fault');
      },
    });
    const job = { reader, size: content.length, extents: [{ offset: 0, length: content.length }] };
    await assert.rejects(copyDisk({ ...job, writer: new MemoryWriter(content.length) }), /device fault/);
    assert.equal(open, 0);
    const writer = new MemoryWriter(content.length);
    writer.data = async () => {
      throw new Error('writer fault');
    };
    await assert.rejects(copyDisk({ ...job, reader: new FakeReader(content), writer }), /writer fault/);
    const signal = AbortSignal.abort(new Error('stopped'));
    await assert.rejects(copyDisk({ ...job, writer: new MemoryWriter(content.length), signal }), /stopped/);
  });

  it('refuses a device that is smaller than its disk', async () => {
    const reader = new FakeReader(Buffer.alloc(MiB));
    const writer = new MemoryWriter(2 * MiB);
    await assert.rejects(copyDisk({ reader, writer, size: 2 * MiB, extents: [] }), { code: 'VB_SNAPSHOT_INVALID' });
  });
});
