import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { OtherBackups } from '../../serve/changed-since.js';
import {
  collect,
  FakeDisk,
  FakeHypervisor,
  FakeReader,
  RepositoryFixture,
  withSha256Indexes,
} from '../../testing/index.js';
import { skipEverywhere } from '../../testing/tools.js';
import { diffDevice } from '../diff/diff-device.js';
import { diffImages } from '../diff/diff-images.js';
import { FrameIndexReader } from '../frame-index/index-reader.js';
import type { ImageReader, Manifest } from '../index.js';
import { newDigestAlgorithm } from './frame-digest.js';

const KiB = 1024;
const PAGE = 64 * KiB;
const MiB = 1024 * KiB;
const SIZE = 4 * MiB + 512;

describe('a chain whose backups have digests of two algorithms', function () {
  this.timeout(60_000);
  let fixture: RepositoryFixture;
  let disk: FakeDisk;
  let hypervisor: FakeHypervisor;

  beforeEach(async function () {
    if (newDigestAlgorithm() === 'sha256') skipEverywhere(this, 'BLAKE3 has no binary for this platform');
    fixture = await RepositoryFixture.create();
    disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: SIZE });
    hypervisor = new FakeHypervisor([disk], { tracking: 'none' });
    disk.guestWrite(MiB, randomBytes(2 * MiB));
  });
  afterEach(() => fixture?.[Symbol.asyncDispose]());

  const oldBackUp = async (): Promise<Manifest> => {
    const { manifest } = await fixture.backUp(hypervisor, 'auto', { compression: 'none' });
    return withSha256Indexes(fixture.repository, manifest);
  };

  const backUp = async (more: { readonly auditShares?: number } = {}): Promise<Manifest> =>
    (await fixture.backUp(hypervisor, 'auto', { compression: 'none', ...more })).manifest;

  const pathOf = ({ chain, disks }: Manifest, what: 'file' | 'index'): string =>
    join(fixture.repository.location, chain, disks[0]?.[what] ?? assert.fail());

  const algorithmOf = async (manifest: Manifest): Promise<string> => {
    await using index = await FrameIndexReader.open(pathOf(manifest, 'index'));
    return index.algorithm;
  };

  /** Changes the byte of a stored frame that stands for this one of the disk. */
  const damage = async (manifest: Manifest, offset: number): Promise<void> => {
    const path = pathOf(manifest, 'file');
    const stream = await readFile(path);
    const at = stream.indexOf(disk.content().subarray(offset, offset + 64));
    stream.writeUInt8(255 - stream.readUInt8(at), at);
    await writeFile(path, stream);
  };

  /** An image of which no byte may be read. */
  const unread = (image: ImageReader): ImageReader => ({
    size: image.size,
    extents: (range) => image.extents(range),
    fingerprints: (range, options) => image.fingerprints(range, options),
    read: () => assert.fail('the digests tell'),
    [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
  });

  it('restores and verifies each of them', async () => {
    const images: { readonly manifest: Manifest; readonly content: Buffer }[] = [];
    for (const make of [oldBackUp, backUp, oldBackUp, backUp]) {
      images.push({ manifest: await make(), content: Buffer.from(disk.content()) });
      disk.guestWrite(images.length * 512 * KiB, randomBytes(100 * KiB));
      disk.guestWrite(2 * MiB + images.length * PAGE, Buffer.alloc(PAGE));
    }
    assert.deepEqual(
      images.map(({ manifest }) => manifest.level),
      ['full', 'inc', 'inc', 'inc'],
    );
    assert.deepEqual(await Promise.all(images.map(({ manifest }) => algorithmOf(manifest))), [
      'sha256',
      'blake3',
      'sha256',
      'blake3',
    ]);
    for (const { manifest, content } of images) assert.ok((await fixture.imageOf(manifest)).equals(content));
    assert.deepEqual(await fixture.damage(), []);
  });

  it('goes on by digests, made as the parent has them, and reads nothing of the parent', async () => {
    const full = await oldBackUp();
    // Who read this frame would find that it is damaged.
    await damage(full, 2 * MiB);
    disk.guestWrite(PAGE, randomBytes(10));
    const { manifest, warnings } = await fixture.backUp(hypervisor, 'auto');
    assert.deepEqual([manifest.level, manifest.disks[0]?.dataLength, warnings], ['inc', PAGE, []]);
    // Frames of both stand under this one.
    const third = await backUp();
    assert.deepEqual([third.level, third.disks[0]?.dataLength], ['inc', 0]);
  });

  it('is found sound by an audit, and accused where its tracking misses a change', async () => {
    hypervisor.tracking = 'dirty';
    await oldBackUp();
    disk.guestWrite(PAGE, randomBytes(10));
    await backUp();
    disk.guestWrite(2 * PAGE, randomBytes(10));
    assert.equal((await backUp({ auditShares: 1 })).level, 'inc');
    disk.secretWrite(2 * MiB, randomBytes(10));
    assert.equal((await backUp({ auditShares: 1 })).disks[0]?.reason, 'tracking-missed-changes');
  });

  it('is compared by its frames within, and with another chain by bytes', async () => {
    const full = await oldBackUp();
    disk.guestWrite(PAGE, randomBytes(10));
    const inc = await backUp();
    const { manifest: copy } = await fixture.backUp(hypervisor, 'copy');
    await using older = await fixture.repository.openImage(full, 'xvda');
    await using newer = await fixture.repository.openImage(inc, 'xvda');
    await using other = await fixture.repository.openImage(copy, 'xvda');
    const changed = [{ kind: 'data', offset: PAGE, length: PAGE }];
    assert.deepEqual(await collect(diffImages({ from: older, to: newer })), changed);
    assert.deepEqual(await collect(diffImages({ from: older, to: other })), changed);
    assert.deepEqual(await collect(diffImages({ from: newer, to: other })), []);
    // What is served as changed may be more than what is, never less.
    await using others = new OtherBackups(newer, [{ id: 'full', open: async () => unread(older) }]);
    const range = { offset: 0, length: SIZE };
    const served = await collect(others.changedSince[0]?.extents(range) ?? []);
    assert.deepEqual(
      served.filter(({ dirty }) => dirty).map(({ offset, length }) => ({ offset, length })),
      [{ offset: PAGE, length: PAGE }],
    );
  });

  it('tells a device that holds the same by its digests alone', async () => {
    await oldBackUp();
    disk.guestWrite(PAGE, randomBytes(10));
    const inc = await backUp();
    await using image = await fixture.repository.openImage(inc, 'xvda');
    disk.guestWrite(3 * MiB, randomBytes(10));
    const found = await collect(diffDevice({ from: image, to: new FakeReader(disk.content()) }));
    assert.deepEqual(found, [{ kind: 'data', offset: 3 * MiB, length: PAGE }]);
  });

  it('has damage found in each of them', async () => {
    const full = await oldBackUp();
    disk.guestWrite(PAGE, randomBytes(PAGE));
    const inc = await backUp();
    await damage(full, 2 * MiB);
    await damage(inc, PAGE);
    assert.deepEqual(
      (await fixture.damage()).map(({ code, extent }) => [code, extent?.offset, extent?.length]),
      [
        ['VB_FILE_DIGEST', 0, SIZE],
        ['VB_FRAME_DIGEST', 2 * MiB, MiB],
        ['VB_FILE_DIGEST', 0, SIZE],
        ['VB_FRAME_DIGEST', PAGE, PAGE],
      ],
    );
  });

  const write = fc.record({
    at: fc.integer({ min: 0, max: SIZE - 1 }),
    length: fc.integer({ min: 1, max: 200 * KiB }),
    zeros: fc.boolean(),
  });
  const round = fc.record({
    writes: fc.array(write, { maxLength: 3 }),
    old: fc.boolean(),
    tracking: fc.constantFrom('dirty' as const, 'none' as const),
  });

  it('holds every point in time, whichever of them are old', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 2, maxLength: 5 }), async (rounds) => {
        await using chain = await RepositoryFixture.create();
        const own = new FakeDisk({ id: 'disk-1', name: 'xvda', size: SIZE });
        const host = new FakeHypervisor([own]);
        for (const { writes, old, tracking } of rounds) {
          host.tracking = tracking;
          for (const { at, length, zeros } of writes) {
            const end = Math.min(SIZE, at + length);
            own.guestWrite(at, zeros ? Buffer.alloc(end - at) : randomBytes(end - at));
          }
          const { manifest } = await chain.backUp(host);
          const kept = old ? await withSha256Indexes(chain.repository, manifest) : manifest;
          assert.ok((await chain.imageOf(kept)).equals(own.content()));
        }
        assert.deepEqual(await chain.damage(), []);
      }),
      { numRuns: 8 },
    );
  });
});
