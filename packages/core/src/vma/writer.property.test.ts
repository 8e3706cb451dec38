import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { requireTools } from '../testing/tools.js';
import { decodeArchive, sha256 } from '../testing/vma-archive.js';
import { readWithPython } from '../testing/vma-python.js';
import { LateSink, newArchive } from '../testing/vma-sink.js';
import { VMA_BLOCK_LENGTH as BLOCK, VMA_CLUSTER_LENGTH as CLUSTER } from './words.js';
import { VmaWriter } from './writer.js';

/** A range of a device: bytes, zeros that are told, or a hole of which nothing is said. */
interface Range {
  readonly kind: 'data' | 'zero' | 'hole';
  readonly length: number;
  /** Of 4 KiB blocks of the data, those that are zero. */
  readonly zeroBlocks: number;
  /** The order among the ranges of all devices. */
  readonly rank: number;
}

interface Plan {
  readonly name: string;
  readonly ranges: readonly Range[];
}

interface Call {
  readonly device: string;
  readonly rank: number;
  readonly offset: number;
  /** Null for zeros. */
  readonly bytes: Buffer | null;
  readonly length: number;
}

const length = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 3 * CLUSTER }) },
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 40 }).map((blocks) => blocks * BLOCK) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 70 }).map((clusters) => clusters * CLUSTER) },
);
const range: fc.Arbitrary<Range> = fc.record({
  kind: fc.constantFrom('data', 'data', 'zero', 'hole'),
  length,
  zeroBlocks: fc.integer({ min: 0, max: 15 }),
  rank: fc.nat(),
});
const plans: fc.Arbitrary<Plan[]> = fc
  .array(fc.array(range, { minLength: 1, maxLength: 10 }), { minLength: 0, maxLength: 3 })
  .map((devices) => devices.map((ranges, index) => ({ name: `drive-scsi${index}`, ranges })));

/** The whole content of a device, and the calls that give it. */
function imageOf({ name, ranges }: Plan): { readonly image: Buffer; readonly calls: readonly Call[] } {
  const image = Buffer.alloc(ranges.reduce((sum, each) => sum + each.length, 0));
  const calls: Call[] = [];
  let offset = 0;
  for (const { kind, length: size, zeroBlocks, rank } of ranges) {
    if (kind === 'data') {
      image.fill(`${name} at ${offset} `, offset, offset + size);
      for (let at = offset - (offset % BLOCK); at < offset + size; at += BLOCK) {
        if ((at / BLOCK) % 16 < zeroBlocks) image.fill(0, Math.max(at, offset), Math.min(at + BLOCK, offset + size));
      }
    }
    const bytes = kind === 'data' ? image.subarray(offset, offset + size) : null;
    if (kind !== 'hole') calls.push({ device: name, rank, offset, length: size, bytes });
    offset += size;
  }
  return { image, calls };
}

interface Written {
  readonly bytes: Buffer;
  readonly images: readonly Buffer[];
}

/** Writes devices by calls in the order of their ranks, several under way; every buffer is spoilt when it comes back. */
async function write(devices: readonly Plan[], underWay: number): Promise<Written> {
  const made = devices.map((plan) => ({ name: plan.name, ...imageOf(plan) }));
  const sink = new LateSink();
  const archive = newArchive({
    configs: [{ name: 'qemu-server.conf', content: Buffer.from('cores: 2\n') }],
    devices: made.map(({ name, image }) => ({ name, size: image.length })),
  });
  const writer = await VmaWriter.open(archive, sink);
  const calls = made.flatMap((device) => device.calls).sort((left, right) => left.rank - right.rank);
  let next = 0;
  const work = async (): Promise<void> => {
    for (let call = calls[next]; call !== undefined; call = calls[next]) {
      next += 1;
      const device = writer.device(call.device);
      if (call.bytes === null) {
        await device.zero(call.offset, call.length);
        continue;
      }
      const lent = Buffer.from(call.bytes);
      await device.write(call.offset, lent);
      lent.fill(0xee);
    }
  };
  await Promise.all(Array.from({ length: underWay }, work));
  await writer.close();
  return { bytes: sink.bytes(), images: made.map(({ image }) => image) };
}

/** What the archive must give back: whole sectors. */
const sectors = (image: Buffer): Buffer => Buffer.concat([image], Math.ceil(image.length / 512) * 512);

describe('an archive of random devices, in random order', () => {
  it('is read back equal, without any warning', async () => {
    await fc.assert(
      fc.asyncProperty(plans, fc.integer({ min: 1, max: 4 }), async (devices, underWay) => {
        const { bytes, images } = await write(devices, underWay);
        const found = decodeArchive(bytes);
        assert.deepEqual(found.warnings, []);
        for (const [index, image] of images.entries()) {
          assert.ok(found.image(index + 1).equals(sectors(image)), `device ${index + 1} differs`);
        }
        // Proxmox's writer fills every extent but the last.
        assert.ok(found.extents.slice(0, -1).every(({ clusters }) => clusters === 58));
      }),
      { numRuns: 60 },
    );
  });

  it('stores no block that is zero, and none behind the end', async () => {
    await fc.assert(
      fc.asyncProperty(plans, async (devices) => {
        const { bytes, images } = await write(devices, 1);
        const { facts } = decodeArchive(bytes);
        const zeros = Buffer.alloc(BLOCK);
        const blocks = (image: Buffer): number => {
          let count = 0;
          for (let at = 0; at < image.length; at += BLOCK) {
            const block = image.subarray(at, at + BLOCK);
            if (!block.equals(zeros.subarray(0, block.length))) count += 1;
          }
          return count;
        };
        assert.deepEqual(
          facts.map(({ storedLength }) => storedLength / BLOCK),
          images.map(blocks),
        );
      }),
      { numRuns: 20 },
    );
  });
});

describe('an archive of random devices, read by another program', () => {
  let folder: string;
  before(async function () {
    requireTools(this, ['python3']);
    folder = await mkdtemp(join(tmpdir(), 'vbackup-vma-'));
  });
  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('is the same there', async () => {
    let count = 0;
    const paths: string[] = [];
    const wanted: { readonly size: number; readonly sha256: string }[][] = [];
    for (const devices of fc.sample(plans, { numRuns: 25, seed: 17 })) {
      const { bytes, images } = await write(devices, 2);
      const path = join(folder, `${count}.vma`);
      count += 1;
      await writeFile(path, bytes);
      paths.push(path);
      wanted.push(images.map(sectors).map((image) => ({ size: image.length, sha256: sha256(image) })));
    }
    const found = readWithPython(paths).map(({ devices }) =>
      devices.map(({ size, sha256: digest }) => ({ size, sha256: digest })),
    );
    assert.deepEqual(found, wanted);
  });
});
