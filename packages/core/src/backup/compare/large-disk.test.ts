import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type AllocationExtent, clip, complement, type Extent, totalLength } from '../../extent/index.js';
import type { BlockReader, Guest, Hypervisor, Snapshot, SnapshotRequest } from '../../hypervisor/index.js';
import { MemoryExport, RepositoryFixture } from '../../testing/index.js';
import type { Manifest } from '../index.js';

const KiB = 1024;
const PAGE = 64 * KiB;
const MiB = 1024 * KiB;
const TiB = 1024 ** 4;
/** Frames of 4 MiB, in which only runs of zeros from 256 KiB are zeros. */
const SIZE = 3 * TiB + 512;

/** A disk that takes no more room than what was written, and calls all else a hole. */
class SparseHypervisor implements Hypervisor {
  readonly disk = new MemoryExport({ size: SIZE });
  readonly allocated: readonly Extent[];
  readonly #guest: Guest = { id: 'large', name: 'large', kind: 'disk' };

  constructor(allocated: readonly Extent[]) {
    this.allocated = allocated;
  }

  async find(): Promise<Guest> {
    return this.#guest;
  }

  async snapshot(_guest: Guest, { since }: SnapshotRequest): Promise<Snapshot> {
    const extents = [{ offset: 0, length: SIZE }];
    const disk = {
      name: 'xvda',
      id: 'disk-1',
      label: '',
      size: SIZE,
      changes: since === null ? ({ kind: 'all' } as const) : ({ kind: 'compare', extents, method: 'digests' } as const),
      open: async () => this.#reader(),
    };
    return {
      time: new Date(),
      checkpoint: {},
      disks: [disk],
      configuration: [],
      commit: async () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  async recover(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #reader(): BlockReader {
    const { disk, allocated } = this;
    return {
      size: SIZE,
      limits: { alignment: 512, maximumRequest: 32 * MiB, maximumInFlight: 8 },
      read: (offset, target) => disk.read(offset, target),
      async *allocation(range: Extent): AsyncGenerator<AllocationExtent> {
        const data = [...clip(allocated, range)];
        const all = [
          ...data.map((extent) => ({ ...extent, kind: 'data' as const })),
          ...[...complement(data, range)].map((extent) => ({ ...extent, kind: 'zero' as const })),
        ];
        yield* all.toSorted((left, right) => left.offset - right.offset);
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
  }
}

describe('a disk of several TiB without change tracking', function () {
  this.timeout(240_000);

  it('gets increments of the pages that differ, at its beginning, its middle and its end', async () => {
    await using fixture = await RepositoryFixture.create();
    const places = [0, 1.5 * TiB + 3 * MiB, 3 * TiB - 4 * MiB];
    const tail = { offset: SIZE - 512, length: 512 };
    const hypervisor = new SparseHypervisor([...places.map((offset) => ({ offset, length: 3 * MiB })), tail]);
    const { disk } = hypervisor;
    for (const at of places) await disk.write(at, randomBytes(3 * MiB));
    await disk.write(SIZE - 512, randomBytes(512));
    await fixture.backUp(hypervisor);
    const { manifest: same } = await fixture.backUp(hypervisor, 'inc');
    assert.deepEqual([same.disks[0]?.dataLength, same.disks[0]?.readLength], [0, 9 * MiB + 512]);

    for (const at of places) {
      await disk.write(at + 10 * PAGE + 1, randomBytes(3));
      // A page of zeros is too short a run to be told as zeros, half a MiB is not.
      await disk.zero({ offset: at + 20 * PAGE, length: PAGE });
      await disk.zero({ offset: at + 30 * PAGE, length: 8 * PAGE });
    }
    await disk.write(SIZE - 1, Buffer.of(7));
    await assertStores(fixture, hypervisor, places.length * 10 * PAGE + 512);
    await disk.zero({ offset: 1.5 * TiB, length: 8 * MiB });
    await assertStores(fixture, hypervisor, 3 * MiB - 9 * PAGE);
    await assertStores(fixture, hypervisor, 0);
  });
});

/** The next increment stores so many bytes, and holds what the disk holds. */
async function assertStores(fixture: RepositoryFixture, hypervisor: SparseHypervisor, length: number): Promise<void> {
  const { manifest } = await fixture.backUp(hypervisor, 'inc');
  assert.equal(manifest.disks[0]?.dataLength, length);
  await assertEqual(fixture, hypervisor.disk, manifest);
}

async function assertEqual(fixture: RepositoryFixture, disk: MemoryExport, manifest: Manifest): Promise<void> {
  await using image = await fixture.repository.openImage(manifest, 'xvda');
  const data = [...image.extents()].filter(({ kind }) => kind === 'data');
  assert.ok(totalLength(data) <= 10 * MiB);
  const stored = Buffer.alloc(4 * MiB);
  const held = Buffer.alloc(4 * MiB);
  for (const offset of [0, 1.5 * TiB, 1.5 * TiB + 4 * MiB, 3 * TiB - 4 * MiB, SIZE - 4 * MiB]) {
    await image.read(offset, stored);
    await disk.read(offset, held);
    assert.ok(stored.equals(held), `${offset}`);
  }
}
