import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  type AllocationExtent,
  alignOutward,
  clip,
  coalesce,
  type Extent,
  endOf,
  splitAt,
  totalLength,
  unite,
} from '../../extent/index.js';
import type { SnapshotDisk } from '../../hypervisor/index.js';
import { FakeReader, MappedFakeReader } from '../../testing/index.js';
import type { Fingerprint, ImageReader } from '../image.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { findForgotten } from './find-forgotten.js';

const KiB = 1024;
const PAGE = 64 * KiB;
const MiB = 1024 * KiB;
const SIZE = 4 * MiB + 3 * 512;

interface Shape {
  readonly clusterLength: number;
  /** Whether it stands on another image: QEMU then writes zeros from the cut to the end of its cluster. */
  readonly overlay: boolean;
  /** Of the bitmap; QEMU's own choice if it is missing. */
  readonly granularity?: number | undefined;
}

/**
 * A qcow2 as QEMU treats it (block/qcow2.c: qcow2_co_truncate; util/hbitmap.c: hbitmap_truncate; block/block-copy.c), with a dirty
 * bitmap since `base`.
 */
class ModelImage {
  readonly content = Buffer.alloc(SIZE);
  readonly #shape: Shape;
  readonly #granularity: number;
  readonly #allocated = new Set<number>();
  readonly #dirty = new Set<number>();
  base = Buffer.alloc(SIZE);

  constructor(shape: Shape) {
    this.#shape = shape;
    this.#granularity = shape.granularity ?? Math.min(PAGE, Math.max(4 * KiB, shape.clusterLength));
  }

  backUp(): void {
    this.base = Buffer.from(this.content);
    this.#dirty.clear();
  }

  write({ offset, length }: Extent, value: number): void {
    this.content.fill(value, offset, offset + length);
    for (const cluster of this.#numbers({ offset, length }, this.#shape.clusterLength)) this.#allocated.add(cluster);
    for (const granule of this.#numbers({ offset, length }, this.#granularity)) this.#dirty.add(granule);
  }

  /** Whole clusters. */
  discard(range: Extent): void {
    const { clusterLength } = this.#shape;
    for (const cluster of this.#numbers(range, clusterLength)) {
      const [whole = assert.fail()] = clip([{ offset: cluster * clusterLength, length: clusterLength }], all);
      this.content.fill(0, whole.offset, endOf(whole));
      this.#allocated.delete(cluster);
      for (const granule of this.#numbers(whole, this.#granularity)) this.#dirty.add(granule);
    }
  }

  /** The disk is made smaller, and as large as it was. */
  cut(size: number): void {
    const { clusterLength, overlay } = this.#shape;
    const kept = Math.ceil(size / clusterLength);
    const cleared = Math.min(SIZE, kept * clusterLength);
    this.content.fill(0, cleared);
    if (overlay && size < cleared) {
      this.content.fill(0, size, cleared);
      this.#allocated.add(kept - 1);
    }
    for (const cluster of this.#allocated) if (cluster >= kept) this.#allocated.delete(cluster);
    // A granule that is cut in two keeps its bit.
    const granules = Math.ceil(size / this.#granularity);
    for (const granule of this.#dirty) if (granule >= granules) this.#dirty.delete(granule);
  }

  get dirty(): readonly Extent[] {
    const length = this.#granularity;
    const numbers = [...this.#dirty].toSorted((one, other) => one - other);
    return [...clip(coalesce(numbers.map((number) => ({ offset: number * length, length }))), all)];
  }

  /**
   * What an export of a backup job says.
   * @param copied - where the guest writes while the job runs: the chunk's old bytes lie in the scratch file, as data unless all
   * of them are zero
   */
  allocation(copied: ReadonlySet<number>): readonly AllocationExtent[] {
    const { clusterLength } = this.#shape;
    const chunkLength = Math.max(PAGE, clusterLength);
    return [...splitAt([all], Math.min(chunkLength, clusterLength))].map((extent) => {
      const chunk = Math.floor(extent.offset / chunkLength);
      const [touched = all] = clip([{ offset: chunk * chunkLength, length: chunkLength }], all);
      const seen = copied.has(chunk) ? touched : extent;
      const data = this.#numbers(seen, clusterLength).some((cluster) => this.#allocated.has(cluster));
      return { ...extent, kind: data ? 'data' : 'hole' };
    });
  }

  #numbers({ offset, length }: Extent, unit: number): readonly number[] {
    const first = Math.floor(offset / unit);
    return Array.from({ length: Math.ceil((offset + length) / unit) - first }, (_, at) => first + at);
  }
}

const ZEROS = Buffer.alloc(PAGE);
const all: Extent = { offset: 0, length: SIZE };

/** A backup whose pages are zeros or frames of their own. */
class MemoryImage implements ImageReader {
  readonly size: number;
  readonly #content: Buffer;

  constructor(content: Buffer) {
    this.#content = content;
    this.size = content.length;
  }

  *extents(range: Extent = { offset: 0, length: this.size }): Generator<AllocationExtent> {
    for (const page of splitAt(clip([range], { offset: 0, length: this.size }), PAGE)) {
      const zero = this.#content.subarray(page.offset, endOf(page)).equals(ZEROS.subarray(0, page.length));
      yield { ...page, kind: zero ? 'zero' : 'data' };
    }
  }

  async *fingerprints(range: Extent): AsyncGenerator<Fingerprint> {
    for (const { kind, ...page } of this.extents(range)) {
      yield { ...page, kind: kind === 'data' ? 'data' : 'zero', digest: null };
    }
  }

  async read(offset: number, target: Buffer): Promise<void> {
    this.#content.copy(target, 0, offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

const forgottenOf = (
  { content, base, dirty }: Pick<ModelImage, 'content' | 'base' | 'dirty'>,
  allocation: readonly AllocationExtent[] | null,
  blockLength: number,
): Promise<readonly Extent[]> => {
  const disk: SnapshotDisk = {
    id: 'a',
    name: 'a',
    label: '',
    size: SIZE,
    changes: { kind: 'since', method: 'model', extents: dirty, forgetful: { blockLength } },
    open: async () =>
      allocation === null
        ? new FakeReader(content)
        : new MappedFakeReader(content, (range) =>
            allocation.flatMap((extent) => [...clip([extent], range)].map((part) => ({ ...extent, ...part }))),
          ),
  };
  return findForgotten({ disk, parent: new MemoryImage(base), connections: 1 });
};

const covers = (extents: readonly Extent[], { offset, length }: Extent): boolean =>
  totalLength(clip(extents, { offset, length })) === length;

/** Every page that is not what it was is known, by the bitmap or by what was found. */
function assertKnown({ content, base, dirty }: ModelImage, forgotten: readonly Extent[]): void {
  const known = unite([...clip(alignOutward(dirty, PAGE), all)], forgotten);
  for (const page of splitAt([all], PAGE)) {
    const same = content.subarray(page.offset, endOf(page)).equals(base.subarray(page.offset, endOf(page)));
    assert.ok(same || covers(known, page), `page ${page.offset / PAGE} changed, and nobody knows`);
  }
}

describe('what a forgetful record of changes forgot', function () {
  this.timeout(60_000);
  const lease = sharedWorkers.lease();
  after(() => lease[Symbol.asyncDispose]());

  const shape = fc.record({
    clusterLength: fc.constantFrom(4 * KiB, 64 * KiB, 64 * KiB, 256 * KiB, 2 * MiB),
    overlay: fc.boolean(),
    granularity: fc.constantFrom(undefined, 512, 4 * KiB, PAGE, 128 * KiB),
  });
  const place = fc.integer({ min: 0, max: SIZE / 512 - 1 }).map((sector) => sector * 512);
  const range = fc
    .tuple(place, fc.constantFrom(512, 4 * KiB, 100 * KiB, MiB))
    .map(([offset, length]) => ({ offset, length: Math.min(length, SIZE - offset) }));
  const write = fc.record({ kind: fc.constant('write' as const), range, value: fc.constantFrom(1, 2, 0) });
  const discard = fc.record({ kind: fc.constant('discard' as const), range });
  const cut = fc.record({ kind: fc.constant('cut' as const), size: place });
  const apply = (image: ModelImage, step: Step): void => {
    if (step.kind === 'write') image.write(step.range, step.value);
    else if (step.kind === 'discard') image.discard(step.range);
    else image.cut(step.size);
  };
  const chunks = fc.uniqueArray(fc.integer({ min: 0, max: 65 }), { maxLength: 4 }).map((numbers) => new Set(numbers));

  it('is found whatever is written, discarded and cut off, in clusters of every length, while the guest goes on', async () => {
    const steps = fc.array(fc.oneof(write, write, discard, cut, cut), { maxLength: 8 });
    const before = fc.array(fc.oneof(write, discard), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(shape, before, steps, chunks, async (of, first, then, copied) => {
        const image = new ModelImage(of);
        for (const step of first) apply(image, step);
        image.backUp();
        for (const step of then) apply(image, step);
        assertKnown(image, await forgottenOf(image, image.allocation(copied), of.clusterLength));
      }),
      { numRuns: 100 },
    );
  });

  it('is nothing where nothing was cut off', async () => {
    await fc.assert(
      fc.asyncProperty(
        shape,
        fc.array(fc.oneof(write, discard), { maxLength: 6 }),
        chunks,
        async (of, then, copied) => {
          const image = new ModelImage(of);
          image.write({ offset: MiB / 2, length: 3 * MiB }, 7);
          image.backUp();
          for (const step of then) apply(image, step);
          assert.deepEqual(await forgottenOf(image, image.allocation(copied), of.clusterLength), []);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('is the rest of a block that was written again in part', async () => {
    const clusterLength = 2 * MiB;
    const image = new ModelImage({ clusterLength, overlay: false });
    image.write(all, 1);
    image.backUp();
    image.cut(2 * MiB);
    image.write({ offset: 3 * MiB, length: 512 }, 2);
    image.write({ offset: 4 * MiB, length: 512 }, 2);
    const forgotten = await forgottenOf(image, image.allocation(new Set()), clusterLength);
    assert.deepEqual(forgotten, [
      { offset: 2 * MiB, length: MiB },
      { offset: 3 * MiB + PAGE, length: MiB - PAGE },
    ]);
  });

  it('is the block of the cut, where an overlay was cut and everything behind it was written again', async () => {
    const image = new ModelImage({ clusterLength: PAGE, overlay: true });
    image.write(all, 1);
    image.backUp();
    image.cut(MiB + 512);
    image.write({ offset: MiB + PAGE, length: SIZE - MiB - PAGE }, 1);
    const forgotten = await forgottenOf(image, image.allocation(new Set()), PAGE);
    assert.deepEqual(forgotten, [{ offset: MiB, length: PAGE }]);
  });

  it('is the block of every cut, also where what a later one left is the same as before', async () => {
    const image = new ModelImage({ clusterLength: PAGE, overlay: true });
    image.write({ offset: 0, length: PAGE }, 1);
    image.backUp();
    image.cut(512);
    for (const page of [2, 4, 5]) image.cut(page * PAGE + 512);
    const forgotten = await forgottenOf(image, image.allocation(new Set()), PAGE);
    assert.deepEqual(forgotten, [{ offset: 0, length: PAGE }]);
  });

  it('is what a cut made unknown of a block that was written again, further back than the first', async () => {
    const clusterLength = 2 * MiB;
    const image = new ModelImage({ clusterLength, overlay: false });
    image.write({ offset: MiB, length: PAGE }, 1);
    image.write({ offset: 3 * MiB, length: PAGE }, 1);
    image.backUp();
    image.cut(0);
    for (const [offset, value] of [
      [MiB, 2],
      [3 * MiB, 1],
    ] as const) {
      image.write({ offset, length: PAGE }, value);
      image.cut(offset - 512);
    }
    const forgotten = await forgottenOf(image, image.allocation(new Set()), clusterLength);
    assert.deepEqual(forgotten, [{ offset: MiB, length: PAGE }]);
  });

  it('is what cuts made unknown of a block, where the bitmap is finer than blocks and pages', async () => {
    const image = new ModelImage({ clusterLength: PAGE, overlay: false, granularity: 512 });
    image.write({ offset: PAGE - 512, length: 512 }, 1);
    image.backUp();
    for (const page of [0, 2, 4]) {
      image.write({ offset: page * PAGE + PAGE - 512, length: 512 }, 2);
      image.cut(page * PAGE + 512);
    }
    const forgotten = await forgottenOf(image, image.allocation(new Set()), PAGE);
    assert.deepEqual(
      forgotten,
      [0, 2, 4].map((page) => ({ offset: page * PAGE, length: PAGE })),
    );
  });

  it('is found by reading where the device does not tell what it allocated', async () => {
    const image = new ModelImage({ clusterLength: PAGE, overlay: false });
    image.write(all, 1);
    image.backUp();
    image.cut(2 * MiB);
    image.write({ offset: 3 * MiB, length: MiB }, 1);
    const forgotten = await forgottenOf(image, null, PAGE);
    assert.deepEqual(forgotten, [
      { offset: 2 * MiB, length: MiB },
      { offset: 4 * MiB, length: SIZE - 4 * MiB },
    ]);
  });
});

type Step =
  | { readonly kind: 'write'; readonly range: Extent; readonly value: number }
  | { readonly kind: 'discard'; readonly range: Extent }
  | { readonly kind: 'cut'; readonly size: number };
