import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type { AllocationExtent, Extent } from '../../extent/index.js';
import { FakeDisk, FakeHypervisor, FakeReader, MappedFakeReader, RepositoryFixture } from '../../testing/index.js';
import type { ImageReader, Manifest } from '../index.js';
import { diffDevice } from './diff-device.js';
import { diffImages } from './diff-images.js';
import type { ChangedExtent } from './differing-extents.js';
import { firstDifference } from './first-difference.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const PAGE = 64 * KiB;

/** What any comparison must find: page by page, joined. */
function expected(from: Buffer, to: Buffer): ChangedExtent[] {
  const found: ChangedExtent[] = [];
  for (let offset = 0; offset < to.length; offset += PAGE) {
    const now = to.subarray(offset, offset + PAGE);
    const then = Buffer.alloc(now.length);
    from.copy(then, 0, offset, offset + now.length);
    if (now.equals(then)) continue;
    const kind = now.every((byte) => byte === 0) ? 'zero' : 'data';
    const last = found.at(-1);
    if (last?.kind === kind && last.offset + last.length === offset) {
      found[found.length - 1] = { ...last, length: last.length + now.length };
    } else found.push({ kind, offset, length: now.length });
  }
  return found;
}

async function all(extents: AsyncIterable<ChangedExtent>): Promise<ChangedExtent[]> {
  const found: ChangedExtent[] = [];
  for await (const extent of extents) found.push(extent);
  return found;
}

/** Counts the bytes that are read of an image's frames; zeros are in none. */
function counted(image: ImageReader): ImageReader & { bytes: number } {
  const counting = {
    bytes: 0,
    size: image.size,
    extents: (range?: Extent) => image.extents(range),
    fingerprints: (range: Extent) => image.fingerprints(range),
    read: (offset: number, target: Buffer) => {
      for (const { kind, length } of image.extents({ offset, length: target.length })) {
        if (kind === 'data') counting.bytes += length;
      }
      return image.read(offset, target);
    },
    [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
  };
  return counting;
}

describe('what differs', () => {
  let fixture: RepositoryFixture;
  let disk: FakeDisk;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 8 * MiB + 512 });
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const backUp = async (): Promise<Manifest> => (await fixture.backUp(new FakeHypervisor([disk]))).manifest;

  async function between(from: Manifest, to: Manifest): Promise<{ extents: ChangedExtent[]; read: number }> {
    await using older = counted(await fixture.repository.openImage(from, 'xvda'));
    await using newer = counted(await fixture.repository.openImage(to, 'xvda'));
    const extents = await all(diffImages({ from: older, to: newer }));
    return { extents, read: older.bytes + newer.bytes };
  }

  describe('between two backups', () => {
    it('is nothing for the same content, and nothing is read, also in two chains', async () => {
      disk.guestWrite(MiB, randomBytes(3 * MiB));
      const first = await backUp();
      const copy = (await fixture.backUp(new FakeHypervisor([disk]), 'copy')).manifest;
      assert.deepEqual(await between(first, first), { extents: [], read: 0 });
      assert.deepEqual(await between(first, copy), { extents: [], read: 0 });
    });

    it('is told by the index but for the frames that were written to', async () => {
      const hypervisor = new FakeHypervisor([disk]);
      disk.guestWrite(0, randomBytes(8 * MiB));
      const first = (await fixture.backUp(hypervisor)).manifest;
      disk.guestWrite(3 * MiB + 100, randomBytes(10));
      disk.guestWrite(5 * MiB, Buffer.alloc(PAGE));
      const second = (await fixture.backUp(hypervisor)).manifest;
      assert.equal(second.level, 'inc');
      const { extents, read } = await between(first, second);
      assert.deepEqual(extents, [
        { kind: 'data', offset: 3 * MiB, length: PAGE },
        { kind: 'zero', offset: 5 * MiB, length: PAGE },
      ]);
      assert.equal(read, 3 * PAGE);
    });

    it('is the same backwards, but for what is there', async () => {
      const hypervisor = new FakeHypervisor([disk]);
      const first = (await fixture.backUp(hypervisor)).manifest;
      disk.guestWrite(8 * MiB + 511, Buffer.of(1));
      const second = (await fixture.backUp(hypervisor)).manifest;
      assert.deepEqual((await between(first, second)).extents, [{ kind: 'data', offset: 8 * MiB, length: 512 }]);
      assert.deepEqual((await between(second, first)).extents, [{ kind: 'zero', offset: 8 * MiB, length: 512 }]);
    });

    it('counts what the disk has grown by as changed where it is not zero', async () => {
      disk.guestWrite(8 * MiB, randomBytes(512));
      const first = await backUp();
      disk.resize(10 * MiB);
      disk.guestWrite(9 * MiB, randomBytes(PAGE));
      const second = await backUp();
      const change = { kind: 'data', offset: 9 * MiB, length: PAGE } as const;
      assert.deepEqual((await between(first, second)).extents, [change]);
      assert.deepEqual((await between(second, first)).extents, []);
    });

    it('is what the bytes say, whatever was written', async () => {
      const write = fc.record({
        offset: fc.nat(2 * MiB - 1),
        length: fc.integer({ min: 1, max: 300 * KiB }),
        byte: fc.nat(2),
      });
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(write, { maxLength: 3 }), { minLength: 2, maxLength: 4 }),
          async (rounds) => {
            await using own = await RepositoryFixture.create();
            const small = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 2 * MiB + 512 });
            const hypervisor = new FakeHypervisor([small]);
            const points: { manifest: Manifest; content: Buffer }[] = [];
            for (const writes of rounds) {
              for (const { offset, length, byte } of writes) {
                small.guestWrite(offset, Buffer.alloc(Math.min(length, small.size - offset), byte));
              }
              points.push({ manifest: (await own.backUp(hypervisor)).manifest, content: small.content() });
            }
            for (const from of points) {
              await using older = await own.repository.openImage(from.manifest, 'xvda');
              for (const to of points) {
                await using newer = await own.repository.openImage(to.manifest, 'xvda');
                const wanted = expected(from.content, to.content);
                assert.deepEqual(await all(diffImages({ from: older, to: newer })), wanted);
                const device = new FakeReader(to.content);
                assert.deepEqual(await all(diffDevice({ from: older, to: device })), wanted);
              }
            }
          },
        ),
        { numRuns: 15 },
      );
    }).timeout(120_000);
  });

  describe('between a backup and a device', () => {
    it('is found without reading what both call zero', async () => {
      disk.guestWrite(MiB, randomBytes(PAGE));
      const manifest = await backUp();
      const content = disk.content();
      content.fill(0, MiB, MiB + PAGE);
      content.fill(7, 4 * MiB, 4 * MiB + 10);
      const reads: number[] = [];
      const allocation = (range: Extent): AllocationExtent[] => [
        { kind: 'hole', offset: range.offset, length: 4 * MiB },
        { kind: 'data', offset: 4 * MiB, length: PAGE },
        // The rest is left out, and so it is unknown.
      ];
      const device = new MappedFakeReader(content, allocation, { onRead: (offset) => void reads.push(offset) });
      await using image = await fixture.repository.openImage(manifest, 'xvda');
      assert.deepEqual(await all(diffDevice({ from: image, to: device })), [
        { kind: 'zero', offset: MiB, length: PAGE },
        { kind: 'data', offset: 4 * MiB, length: PAGE },
      ]);
      assert.ok(reads.includes(MiB));
      assert.deepEqual(
        reads.filter((offset) => offset < MiB || (offset > MiB && offset < 4 * MiB)),
        [],
      );
    });

    it('is told by digests where nothing changed: only the index of the backup is read', async () => {
      disk.guestWrite(MiB, randomBytes(5 * MiB));
      const manifest = await backUp();
      const content = disk.content();
      await using image = counted(await fixture.repository.openImage(manifest, 'xvda'));
      assert.deepEqual(await all(diffDevice({ from: image, to: new FakeReader(content) })), []);
      assert.equal(image.bytes, 0);
      content.writeUInt8(255 - content.readUInt8(3 * MiB), 3 * MiB);
      assert.deepEqual(await all(diffDevice({ from: image, to: new FakeReader(content) })), [
        { kind: 'data', offset: 3 * MiB, length: PAGE },
      ]);
      assert.equal(image.bytes, MiB);
    });

    it('ends when it is told to, and when nobody asks on', async () => {
      disk.guestWrite(0, randomBytes(8 * MiB));
      const manifest = await backUp();
      await using image = await fixture.repository.openImage(manifest, 'xvda');
      const device = new FakeReader(Buffer.alloc(8 * MiB, 1));
      for await (const extent of diffDevice({ from: image, to: device })) {
        assert.equal(extent.offset, 0);
        break;
      }
      const stop = new AbortController();
      const stopping = new FakeReader(Buffer.alloc(8 * MiB, 1), { onRead: () => stop.abort(new Error('enough')) });
      const told = all(diffDevice({ from: image, to: stopping, signal: stop.signal }));
      await assert.rejects(told, /enough/);
    });

    it('hands on what the device fails with', async () => {
      const manifest = await backUp();
      await using image = await fixture.repository.openImage(manifest, 'xvda');
      const onRead = (offset: number): void => {
        if (offset >= 5 * MiB) throw new Error('a bad sector');
      };
      const device = new FakeReader(Buffer.alloc(8 * MiB), { onRead });
      await assert.rejects(all(diffDevice({ from: image, to: device })), /a bad sector/);
    });
  });

  describe('first', () => {
    it('is the offset of the first byte', async () => {
      const left = randomBytes(3 * MiB);
      for (const offset of [0, 1, PAGE - 1, PAGE, 2 * MiB + 77, 3 * MiB - 1]) {
        const right = Buffer.from(left);
        right.writeUInt8(255 - right.readUInt8(offset), offset);
        const devices = { left: new FakeReader(left), right: new FakeReader(right) };
        assert.equal(await firstDifference({ ...devices, size: left.length }), offset);
      }
    });

    it('is null for equal devices, for nothing, and where only what lies behind differs', async () => {
      const content = randomBytes(MiB + 100);
      const longer = Buffer.concat([content, Buffer.alloc(MiB, 3)]);
      const devices = { left: new FakeReader(content), right: new FakeReader(longer) };
      assert.equal(await firstDifference({ ...devices, size: content.length }), null);
      assert.equal(await firstDifference({ ...devices, size: 0 }), null);
    });
  });
});
