import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlockWriter, OpenTarget } from '../../hypervisor/index.js';
import { FakeReader, MappedFakeReader } from '../../testing/index.js';
import { openFileTarget } from '../target/file-target.js';
import { copyDevice } from './copy-device.js';

const KiB = 1024;
const MiB = 1024 * KiB;

interface TargetShape {
  readonly size?: number;
  readonly zeroed?: boolean;
  readonly alignment?: number;
  readonly maximumInFlight?: number;
  readonly onWrite?: (offset: number) => Promise<void> | void;
}

/** A device in memory that is full of garbage, and refuses what breaks its limits. */
class MemoryDevice {
  image = Buffer.alloc(0);
  readonly calls: string[] = [];
  most = 0;
  #running = 0;

  opener({ size, zeroed = false, alignment = 512, maximumInFlight = 4, onWrite }: TargetShape = {}): OpenTarget {
    return async (specification) => {
      this.image = Buffer.alloc(size ?? specification.size, zeroed ? 0 : 255);
      const writer: BlockWriter = {
        size: this.image.length,
        zeroed,
        limits: { alignment, maximumRequest: 256 * KiB, maximumInFlight },
        write: (offset, bytes) =>
          this.#count(async () => {
            assert.equal(offset % alignment, 0);
            assert.equal(bytes.length % alignment, 0);
            assert.ok(bytes.length <= 256 * KiB && offset + bytes.length <= this.image.length);
            await onWrite?.(offset);
            await new Promise((resolve) => setImmediate(resolve));
            bytes.copy(this.image, offset);
          }),
        zero: (offset, length) =>
          this.#count(async () => {
            assert.equal(length % alignment, 0);
            this.calls.push(`zero ${offset} ${length}`);
            this.image.fill(0, offset, offset + length);
          }),
        finish: async () => void this.calls.push(`finish with ${this.#running} running`),
        [Symbol.asyncDispose]: async () => void this.calls.push(`dispose with ${this.#running} running`),
      };
      return writer;
    };
  }

  async #count(work: () => Promise<void>): Promise<void> {
    this.#running += 1;
    this.most = Math.max(this.most, this.#running);
    await work().finally(() => {
      this.#running -= 1;
    });
  }
}

describe('copyDevice', () => {
  const label = 'the source';

  it('writes every byte, zeros where the target holds garbage, several at once', async () => {
    const content = Buffer.concat([randomBytes(3 * MiB), Buffer.alloc(2 * MiB), randomBytes(MiB + 512)]);
    const device = new MemoryDevice();
    const done: number[] = [];
    const onProgress = (bytes: number): void => void done.push(bytes);
    const summary = await copyDevice({
      reader: new FakeReader(content),
      openTarget: device.opener(),
      label,
      onProgress,
    });
    assert.ok(device.image.equals(content));
    assert.deepEqual(summary, { size: content.length, read: content.length, written: 4 * MiB + 512 });
    assert.deepEqual(device.calls.slice(-2), ['finish with 0 running', 'dispose with 0 running']);
    assert.ok(device.most > 1 && device.most <= 4, `${device.most} at once`);
    assert.equal(done.at(-1), content.length);
    assert.deepEqual(
      done,
      done.toSorted((left, right) => left - right),
    );
  });

  it('writes one after the other where the target says so', async () => {
    const device = new MemoryDevice();
    const openTarget = device.opener({ maximumInFlight: 1 });
    await copyDevice({ reader: new FakeReader(randomBytes(4 * MiB)), openTarget, label });
    assert.equal(device.most, 1);
  });

  it('writes no zeros to a target that reads as zero, and reads none that the source tells', async () => {
    const content = Buffer.alloc(8 * MiB);
    content.fill(1, 5 * MiB, 6 * MiB);
    const reader = new MappedFakeReader(content, () => [
      { kind: 'hole', offset: 0, length: 4 * MiB },
      { kind: 'data', offset: 4 * MiB, length: 2 * MiB },
      { kind: 'zero', offset: 6 * MiB, length: 2 * MiB },
    ]);
    const device = new MemoryDevice();
    const summary = await copyDevice({ reader, openTarget: device.opener({ zeroed: true }), label });
    assert.ok(device.image.equals(content));
    assert.deepEqual(summary, { size: 8 * MiB, read: 2 * MiB, written: MiB });
    assert.deepEqual(device.calls.slice(0, -2), []);
  });

  it('fills the last block of the target up with zeros, and leaves what lies behind', async () => {
    for (const content of [randomBytes(MiB + 512), Buffer.concat([randomBytes(MiB), Buffer.alloc(512)])]) {
      const device = new MemoryDevice();
      const openTarget = device.opener({ alignment: 4 * KiB, size: 2 * MiB });
      await copyDevice({ reader: new FakeReader(content), openTarget, label });
      const wanted = Buffer.concat([content, Buffer.alloc(4 * KiB - 512), Buffer.alloc(MiB - 4 * KiB, 255)]);
      assert.ok(device.image.equals(wanted));
    }
  });

  it('copies nothing of an empty device', async () => {
    const device = new MemoryDevice();
    const summary = await copyDevice({ reader: new FakeReader(Buffer.alloc(0)), openTarget: device.opener(), label });
    assert.deepEqual(summary, { size: 0, read: 0, written: 0 });
  });

  it('refuses a target that is too small before it writes', async () => {
    const device = new MemoryDevice();
    const openTarget = device.opener({ size: MiB });
    const copied = copyDevice({ reader: new FakeReader(randomBytes(MiB + 512)), openTarget, label });
    await assert.rejects(copied, { code: 'VB_TARGET_TOO_SMALL' });
    assert.deepEqual(device.calls, ['dispose with 0 running']);
  });

  for (const [what, fault] of [
    ['a read', { reading: true }],
    ['a write', { reading: false }],
  ] as const) {
    it(`fails with what ${what} fails with, when nothing is under way any more`, async () => {
      const fail = (offset: number): void => {
        if (offset >= 2 * MiB) throw new Error('a bad sector');
      };
      const device = new MemoryDevice();
      const reader = new FakeReader(randomBytes(8 * MiB), fault.reading ? { onRead: fail } : {});
      const openTarget = device.opener(fault.reading ? {} : { onWrite: fail });
      await assert.rejects(copyDevice({ reader, openTarget, label }), /a bad sector/);
      assert.deepEqual(device.calls, ['dispose with 0 running']);
    });
  }

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    const device = new MemoryDevice();
    const openTarget = device.opener({ onWrite: (offset) => (offset >= MiB ? stop.abort() : undefined) });
    const copied = copyDevice({ reader: new FakeReader(randomBytes(8 * MiB)), openTarget, label, signal: stop.signal });
    await assert.rejects(copied, { code: 'VB_ABORTED' });
    assert.deepEqual(device.calls, ['dispose with 0 running']);
  });

  describe('to a file', () => {
    let folder = '';
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'vbackup-copy-'));
    });
    afterEach(() => rm(folder, { recursive: true }));

    it('makes it sparse, and leaves nothing where it fails', async () => {
      const path = join(folder, 'disk.raw');
      const content = Buffer.alloc(16 * MiB + 512);
      content.fill(1, 8 * MiB, 9 * MiB);
      await copyDevice({ reader: new FakeReader(content), openTarget: openFileTarget(path), label });
      assert.ok((await readFile(path)).equals(content));
      assert.ok((await stat(path)).blocks * 512 <= 2 * MiB);
      const reader = new FakeReader(content, { onRead: () => Promise.reject(new Error('gone')) });
      const other = openFileTarget(join(folder, 'other.raw'));
      await assert.rejects(copyDevice({ reader, openTarget: other, label }), /gone/);
      assert.deepEqual(await readdir(folder), ['disk.raw']);
    });
  });
});
