import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { alignOutward, type Extent, endOf } from '../extent/index.js';
import { collect } from '../testing/collect.js';
import { FILE_SYSTEM_KINDS, type MountedFileSystem, mountFileSystem } from '../testing/mounted-file-system.js';
import { requireTools } from '../testing/tools.js';
import type { Filemap, MapExtent, MapMethod } from './filemap.js';
import type { Libc } from './libc.js';
import { loadLibc } from './load-libc.js';
import { openFilemap } from './open-filemap.js';
import { qemuMapJson } from './qemu-map-json.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/** What makes a layout, one after the other. */
type Step =
  | { readonly what: 'write' | 'zeros' | 'preallocate' | 'punch'; readonly offset: number; readonly length: number }
  | { readonly what: 'truncate'; readonly size: number }
  | { readonly what: 'sync' };

const offset = fc.oneof(
  fc.nat(MiB),
  fc.nat(256).map((page) => page * 4 * KiB),
);
const length = fc.oneof(
  fc.integer({ min: 1, max: 100 * KiB }),
  fc.integer({ min: 1, max: 40 }).map((page) => page * 4 * KiB),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constant('write'), offset, length }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('zeros'), offset, length }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('preallocate'), offset, length }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('punch'), offset, length }) },
  { weight: 2, arbitrary: fc.record({ what: fc.constant('truncate'), size: fc.nat(MiB) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('sync') }) },
);

async function take(file: FileHandle, libc: Libc, next: Step): Promise<void> {
  if (next.what === 'sync') return file.sync();
  if (next.what === 'truncate') return file.truncate(next.size);
  const range = { offset: next.offset, length: next.length };
  if (next.what === 'preallocate') return libc.fallocate(file, 'allocate-keep-size', range);
  if (next.what === 'punch') return libc.fallocate(file, 'punch', range);
  // Bytes that do not compress, so that compressed extents have more than one length.
  const bytes = Buffer.alloc(range.length);
  if (next.what === 'write') for (const index of bytes.keys()) bytes[index] = 1 + ((index * 7919) % 251);
  await file.write(bytes, 0, bytes.length, range.offset);
}

function assertCover(extents: readonly MapExtent[], size: number): void {
  let end = 0;
  for (const [index, extent] of extents.entries()) {
    const { kind, flags, physical } = extents[index - 1] ?? {};
    assert.equal(extent.offset, end);
    assert.ok(extent.length > 0);
    const joined = kind === extent.kind && flags === extent.flags && physical === undefined;
    assert.ok(!joined || extent.physical !== undefined, 'neighbours differ');
    end = endOf(extent);
  }
  assert.equal(end, size);
}

function assertZerosOutside(data: readonly Extent[], content: Buffer): void {
  const rest = Buffer.from(content);
  for (const range of data) rest.fill(0, range.offset, endOf(range));
  const at = rest.findIndex((byte) => byte !== 0);
  assert.equal(at, -1, `byte ${at} holds data and is in no data range`);
}

/** Its last page stays in the cache, with a part of it preallocated where blocks are shorter than pages. */
const PUNCHED_THEN_PREALLOCATED: Step[] = [
  { what: 'zeros', offset: 44_233, length: 46_903 },
  { what: 'punch', offset: 0, length: 91_136 },
  { what: 'preallocate', offset: 24_576, length: 69_632 },
];

const isData = ({ kind }: MapExtent): boolean => kind === 'data';

/** The parts of `ranges` that lie outside of `others`; both ascend. */
function outside(ranges: readonly Extent[], others: readonly Extent[]): readonly Extent[] {
  return ranges.flatMap((range) => {
    const parts: Extent[] = [];
    let at = range.offset;
    for (const other of others) {
      if (other.offset > at && at < endOf(range)) {
        parts.push({ offset: at, length: Math.min(other.offset, endOf(range)) - at });
      }
      at = Math.max(at, endOf(other));
    }
    if (at < endOf(range)) parts.push({ offset: at, length: endOf(range) - at });
    return parts;
  });
}

/**
 * SEEK_DATA finds what FIEMAP calls data. In preallocated space it may find more: pages that are in the cache, such as the one
 * that a punched range ended in.
 */
function assertAgree(seek: readonly MapExtent[], fiemap: readonly MapExtent[]): void {
  const preallocated = fiemap.filter(({ flags }) => flags?.unwritten);
  assert.deepEqual(outside(fiemap.filter(isData), seek.filter(isData)), [], 'only fiemap calls it data');
  const more = outside(seek.filter(isData), fiemap.filter(isData));
  assert.deepEqual(outside(more, preallocated), [], 'only seek calls it data, and it is not preallocated');
}

async function assertViewsAgree(map: Filemap, content: Buffer): Promise<void> {
  const extents = await collect(map.extents());
  const data = await collect(map.dataRanges());
  const holes = await collect(map.holeRanges());
  assertCover(extents, content.length);
  assertZerosOutside(data, content);
  const { size, data: bytes, zero, hole, extents: count } = await map.statistics();
  assert.deepEqual([size, count], [content.length, extents.length]);
  assert.equal(bytes + zero + hole, size);
  const sum = (ranges: readonly Extent[]): number => ranges.reduce((total, range) => total + range.length, 0);
  assert.deepEqual([sum(data), sum(holes)], [bytes, zero + hole]);
  for (const blockLength of [1000, 4096]) {
    const blocks = (await collect(map.blockRanges(blockLength))).map(({ first, count: blockCount }) => ({
      offset: first * blockLength,
      length: blockCount * blockLength,
    }));
    assert.deepEqual(blocks, [...alignOutward(data, blockLength)]);
  }
  for (const range of extents) {
    for (const edge of [range.offset, endOf(range) - 1]) {
      assert.equal(await map.isMapped(edge), range.kind === 'data', `byte ${edge}`);
    }
  }
}

for (const kind of FILE_SYSTEM_KINDS) {
  describe(`a filemap on ${kind}`, () => {
    let mounted: MountedFileSystem;
    let libc: Libc;
    let path: string;
    const hasFiemap = kind !== 'tmpfs';
    const methods: readonly MapMethod[] = hasFiemap ? ['fiemap', 'seek', 'scan'] : ['seek', 'scan'];

    before(async function () {
      this.timeout('2m');
      mounted = mountFileSystem(this, kind);
      path = join(mounted.path, 'image');
      const loaded = await loadLibc();
      assert.ok(loaded !== null);
      libc = loaded;
    });

    after(() => mounted?.[Symbol.dispose]());

    it('never calls data a hole, and its methods and views agree, whatever the layout', async function () {
      this.timeout('5m');
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
          await rm(path, { force: true });
          await using file = await open(path, 'w+');
          for (const next of steps) await take(file, libc, next);
          const found = new Map<MapMethod, readonly MapExtent[]>();
          for (const method of methods) {
            await using map = await openFilemap(path, { method });
            found.set(method, await collect(map.extents()));
          }
          const content = await readFile(path);
          for (const extents of found.values()) assertZerosOutside(extents.filter(isData), content);
          const fiemap = found.get('fiemap');
          const seek = found.get('seek') ?? assert.fail('not sought');
          if (fiemap !== undefined) assertAgree(seek, fiemap);
          for (const method of methods) {
            await using map = await openFilemap(path, { method });
            await assertViewsAgree(map, content);
          }
        }),
        { numRuns: 25, examples: [[PUNCHED_THEN_PREALLOCATED]] },
      );
    });

    it('prints what qemu-img map prints, byte for byte', async function () {
      requireTools(this, ['qemu-img']);
      const layouts: readonly (readonly Step[])[] = [
        [],
        [{ what: 'truncate', size: 1000 }],
        [{ what: 'write', offset: 0, length: 3 }],
        [
          { what: 'preallocate', offset: 0, length: MiB },
          { what: 'truncate', size: 300 * KiB },
        ],
        [
          { what: 'truncate', size: MiB + 17 },
          { what: 'write', offset: 128 * KiB, length: 70 * KiB },
          { what: 'preallocate', offset: 512 * KiB, length: 128 * KiB },
          { what: 'write', offset: 576 * KiB, length: 16 * KiB },
          { what: 'write', offset: MiB, length: 17 },
        ],
      ];
      for (const steps of layouts) {
        await rm(path, { force: true });
        await using file = await open(path, 'w+');
        for (const next of steps) await take(file, libc, next);
        await file.sync();
        const words = ['map', '-f', 'raw', '--output=json', path];
        const theirs = execFileSync('qemu-img', words, { encoding: 'utf8' });
        const compressed = theirs.includes('"compressed"');
        for (const method of ['seek', 'qemu-img'] as const) {
          await using map = await openFilemap(path, { method });
          assert.equal((await collect(qemuMapJson(map.extents(), { compressed }))).join(''), theirs, method);
        }
      }
    });
  });
}
