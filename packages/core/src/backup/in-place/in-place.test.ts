import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import type { AllocationExtent, Extent } from '../../extent/index.js';
import type { BlockDevice, WithSignal } from '../../hypervisor/index.js';
import { FakeDisk, FakeHypervisor, FakeReader, RepositoryFixture } from '../../testing/index.js';
import type { Manifest, WorkEvent } from '../index.js';
import { runRestoreInPlace } from '../run-restore-in-place.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const PAGE = 64 * KiB;

/** A device in memory that is read and written, and says of pages of zeros that they are zero. */
class MemoryDevice implements BlockDevice {
  readonly content: Buffer;
  readonly zeroed = false;
  readonly anyOrder = true;
  writes = 0;
  reads = 0;
  finished = false;
  /** Which write fails, from 1. */
  failing = 0;
  readonly #reader: FakeReader;

  constructor(content: Buffer) {
    this.content = Buffer.alloc(Math.ceil(content.length / 512) * 512);
    content.copy(this.content);
    this.#reader = new FakeReader(this.content);
  }

  get size(): number {
    return this.#reader.size;
  }

  get limits(): BlockDevice['limits'] {
    return this.#reader.limits;
  }

  read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    this.reads += target.length;
    return this.#reader.read(offset, target, options);
  }

  async *allocation({ offset, length }: Extent): AsyncGenerator<AllocationExtent> {
    for (let at = offset; at < offset + length; at += PAGE) {
      const page = this.content.subarray(at, Math.min(at + PAGE, offset + length));
      yield { kind: page.every((byte) => byte === 0) ? 'hole' : 'data', offset: at, length: page.length };
    }
  }

  async write(offset: number, bytes: Buffer): Promise<void> {
    await this.#change({ offset, length: bytes.length });
    bytes.copy(this.content, offset);
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#change({ offset, length });
    this.content.fill(0, offset, offset + length);
  }

  async finish(): Promise<void> {
    this.finished = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #change({ offset, length }: Extent): Promise<void> {
    assert.deepEqual([offset % 512, length % 512, offset + length <= this.size], [0, 0, true]);
    await new Promise((resolve) => setImmediate(resolve));
    this.writes += 1;
    if (this.writes === this.failing) throw new Error('the device is broken');
  }
}

describe('runRestoreInPlace', () => {
  let fixture: RepositoryFixture;
  let disk: FakeDisk;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 8 * MiB + 100 });
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const backUp = async (): Promise<Manifest> => (await fixture.backUp(new FakeHypervisor([disk]))).manifest;
  const restore = async (
    manifest: Manifest,
    device: MemoryDevice,
    more: { signal?: AbortSignal; onEvent?: (event: WorkEvent) => void } = {},
  ): Promise<number> => {
    const { repository } = fixture;
    const job = { repository, manifest, disk: 'xvda', device, label: 'vda of web' };
    const { written, size } = await runRestoreInPlace({ ...job, ...more });
    assert.equal(size, disk.size);
    return written;
  };
  /** Bytes of pages that differ. */
  const difference = (one: Buffer, other: Buffer): number => {
    let length = 0;
    for (let at = 0; at < one.length; at += PAGE) {
      const page = one.subarray(at, at + PAGE);
      if (!page.equals(other.subarray(at, at + page.length))) length += page.length;
    }
    return length;
  };

  it('writes nothing to a disk that is as the backup, and reads nothing of what both call zero', async () => {
    disk.guestWrite(MiB, randomBytes(2 * MiB));
    const manifest = await backUp();
    const device = new MemoryDevice(disk.content());
    assert.equal(await restore(manifest, device), 0);
    assert.deepEqual([device.writes, device.finished], [0, true]);
    assert.equal(device.reads, 2 * MiB);
  });

  it('writes the pages that differ, and zeros where the backup has some', async () => {
    disk.guestWrite(MiB, randomBytes(2 * MiB));
    const first = await backUp();
    const before = disk.content();
    disk.guestWrite(MiB + 5 * PAGE, randomBytes(10));
    disk.guestWrite(6 * MiB, randomBytes(PAGE));
    disk.guestWrite(disk.size - 20, randomBytes(20));
    const second = await backUp();
    const device = new MemoryDevice(disk.content());
    assert.equal(await restore(first, device), 2 * PAGE + 100);
    assert.ok(device.content.subarray(0, disk.size).equals(before));
    assert.equal(await restore(second, device), 2 * PAGE + 100);
    assert.ok(device.content.subarray(0, disk.size).equals(disk.content()));
  });

  it('makes any disk the backup, and writes no page that is right', async () => {
    const place = fc.record({
      offset: fc.nat(disk.size - 1),
      length: fc.integer({ min: 1, max: 2 * MiB }),
      value: fc.nat(2),
    });
    disk.guestWrite(MiB, Buffer.alloc(3 * MiB, 1));
    disk.guestWrite(6 * MiB + 1000, randomBytes(MiB));
    await backUp();
    disk.guestWrite(2 * MiB + 3 * PAGE, Buffer.alloc(PAGE + 700, 2));
    disk.guestWrite(3 * MiB, Buffer.alloc(300 * KiB));
    const manifest = await backUp();
    await fc.assert(
      fc.asyncProperty(fc.array(place, { maxLength: 6 }), async (places) => {
        const now = disk.content();
        for (const { offset, length, value } of places) now.fill(value, offset, Math.min(now.length, offset + length));
        const device = new MemoryDevice(now);
        assert.equal(await restore(manifest, device), difference(disk.content(), now));
        assert.ok(device.content.subarray(0, disk.size).equals(disk.content()));
      }),
      { numRuns: 15 },
    );
  });

  it('says that a disk is a mixture when it is ended in the middle, and only then', async () => {
    disk.guestWrite(0, randomBytes(4 * MiB));
    const manifest = await backUp();
    const told: string[] = [];
    const onEvent = (event: WorkEvent): void =>
      void (event.type === 'warning' && told.push(`${event.code} ${event.message}`));
    const device = new MemoryDevice(Buffer.alloc(disk.size));
    device.failing = 2;
    await assert.rejects(restore(manifest, device, { onEvent }), /the device is broken/);
    assert.equal(device.finished, false);
    assert.match(
      told.join(),
      /^VB_TARGET_MIXED vda of web is restored in part/,
      'it names the disk that was written to',
    );
    await assert.rejects(restore(manifest, device, { signal: AbortSignal.abort(), onEvent }), { code: 'VB_ABORTED' });
    assert.equal(told.length, 1);
    device.failing = 0;
    await restore(manifest, device, { onEvent });
    assert.ok(device.content.subarray(0, disk.size).equals(disk.content()));
    assert.equal(told.length, 1);
  });

  it('writes nothing of a backup that is damaged where it differs', async () => {
    disk.guestWrite(0, randomBytes(MiB));
    const manifest = await backUp();
    const path = join(fixture.repository.location, manifest.chain, manifest.disks[0]?.file ?? '');
    const bytes = await readFile(path);
    const middle = Math.floor(bytes.length / 2);
    bytes.writeUInt8(255 - bytes.readUInt8(middle), middle);
    await writeFile(path, bytes);
    const device = new MemoryDevice(Buffer.alloc(disk.size));
    await assert.rejects(restore(manifest, device), { code: /^VB_FRAME_/ });
    assert.ok(device.content.every((byte) => byte === 0));
  });
});
