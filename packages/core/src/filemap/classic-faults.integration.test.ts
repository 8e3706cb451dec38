import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { open, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { collect } from '../testing/collect.js';
import { libcWith } from '../testing/libc-with.js';
import {
  attachLoopDevice,
  type FileSystemKind,
  type MountedFileSystem,
  mountFileSystem,
} from '../testing/mounted-file-system.js';
import { decodeFiemap, encodeFiemap } from './fiemap.js';
import { FIEMAP_EXTENT } from './fiemap-flags.js';
import type { MapExtent, MapMethod } from './filemap.js';
import type { Libc } from './libc.js';
import { loadLibc } from './load-libc.js';
import { openFilemap } from './open-filemap.js';

const KiB = 1024;
const MiB = 1024 * KiB;

interface Place {
  readonly path: string;
  readonly folder: string;
  readonly libc: Libc;
  readonly test: Mocha.Context;
}

interface Fault {
  readonly name: string;
  readonly on: FileSystemKind;
  readonly check: (place: Place) => Promise<void>;
}

const byMethod = async (path: string, method: MapMethod, libc?: Libc): Promise<readonly MapExtent[]> => {
  await using map = await openFilemap(path, libc === undefined ? { method } : { method, libc });
  return await collect(map.extents());
};

/** The answer to a FIEMAP request, with these extents of [offset, length]. */
function answer(request: Buffer, extents: readonly (readonly [number, number])[]): Promise<void> {
  request.writeUInt32LE(extents.length, 20);
  for (const [index, [offset, length]] of extents.entries()) {
    request.fill(0, 32 + 56 * index, 88 + 56 * index);
    request.writeBigUInt64LE(BigInt(offset), 32 + 56 * index);
    request.writeBigUInt64LE(BigInt(length), 48 + 56 * index);
  }
  return Promise.resolve();
}

/** What Filemap.py of bmap-tools and its descendants get wrong, by the number that the fault has in docs/filemap.md. */
const FAULTS: readonly Fault[] = [
  {
    name: '1: where FIEMAP is refused (tmpfs), SEEK maps the file',
    on: 'tmpfs',
    check: async ({ path }) => {
      await writeFile(path, 'x');
      await assert.rejects(openFilemap(path, { method: 'fiemap' }), { code: 'VB_UNSUPPORTED', message: /EOPNOTSUPP/ });
      assert.deepEqual(await byMethod(path, 'seek'), [{ offset: 0, length: 1, kind: 'data' }]);
    },
  },
  {
    name: '2: a file without any data is one hole',
    on: 'ext4',
    check: async ({ path }) => {
      await truncate(path, 5 * MiB);
      for (const method of ['seek', 'fiemap', 'qemu-img'] as const) {
        assert.deepEqual(await byMethod(path, method), [{ offset: 0, length: 5 * MiB, kind: 'hole' }], method);
      }
      assert.deepEqual(await byMethod(path, 'scan'), [{ offset: 0, length: 5 * MiB, kind: 'zero' }]);
    },
  },
  {
    name: '3: data in the inode (ext4 inline_data) has its own length, no block',
    on: 'ext4-inline',
    check: async ({ path }) => {
      await writeFile(path, Buffer.alloc(100, 1));
      assert.deepEqual(await byMethod(path, 'fiemap'), [
        { offset: 0, length: 100, kind: 'data', flags: { inline: true } },
      ]);
      assert.deepEqual(await byMethod(path, 'seek'), [{ offset: 0, length: 100, kind: 'data' }]);
    },
  },
  {
    name: '3: data in the tree (btrfs inline) has its own length, no block',
    on: 'btrfs',
    check: async ({ path }) => {
      await writeFile(path, Buffer.alloc(100, 1));
      const [extent, ...others] = await byMethod(path, 'fiemap');
      assert.deepEqual(others, []);
      assert.deepEqual([extent?.offset, extent?.length, extent?.kind], [0, 100, 'data']);
      assert.equal(extent?.flags?.inline, true);
    },
  },
  {
    name: '4: nothing is said of what lies behind the end of file',
    on: 'ext4',
    check: async ({ path, libc }) => {
      await using file = await open(path, 'r+');
      await file.write(Buffer.alloc(5000, 1));
      await libc.fallocate(file, 'allocate-keep-size', { offset: 0, length: MiB });
      for (const method of ['seek', 'fiemap'] as const) {
        await using map = await openFilemap(path, { method });
        const behind = await collect(map.extents({ offset: 5000, length: MiB }));
        const around = await collect(map.dataRanges({ offset: 4096, length: MiB }));
        assert.deepEqual([behind, around], [[], [{ offset: 4096, length: 904 }]], method);
      }
    },
  },
  {
    name: '5: preallocated space is no data, and dirty bytes in it are',
    on: 'xfs',
    check: async ({ path, libc }) => {
      await using file = await open(path, 'r+');
      await libc.fallocate(file, 'allocate', { offset: 0, length: MiB });
      await file.write(Buffer.alloc(64 * KiB, 1), 0, 64 * KiB, 256 * KiB);
      const kinds = async (method: MapMethod) =>
        (await byMethod(path, method)).map(({ length, kind }) => [length, kind]);
      assert.deepEqual(await kinds('seek'), [
        [256 * KiB, 'hole'],
        [64 * KiB, 'data'],
        [704 * KiB, 'hole'],
      ]);
      assert.deepEqual(await kinds('fiemap'), [
        [256 * KiB, 'zero'],
        [64 * KiB, 'data'],
        [704 * KiB, 'zero'],
      ]);
    },
  },
  {
    name: '6: FIEMAP is asked for the rest of the range and no more, round after round',
    on: 'ext4',
    check: async ({ path, libc }) => {
      await truncate(path, 8 * MiB);
      const asked: (readonly number[])[] = [];
      const own = libcWith(libc, {
        fiemap: (_file, request) => {
          const at = Number(request.readBigUInt64LE(0));
          asked.push([at, Number(request.readBigUInt64LE(8))]);
          return answer(request, [[at, MiB]]);
        },
      });
      await using map = await openFilemap(path, { method: 'fiemap', libc: own });
      asked.splice(0);
      await collect(map.extents({ offset: MiB, length: 2.5 * MiB }));
      assert.deepEqual(asked, [
        [MiB, 2.5 * MiB],
        [2 * MiB, 1.5 * MiB],
        [3 * MiB, 0.5 * MiB],
      ]);
    },
  },
  {
    name: '7: an answer that does not get on is an error, no endless loop',
    on: 'ext4',
    check: async ({ path, libc }) => {
      await truncate(path, MiB);
      const own = libcWith(libc, { fiemap: (_file, request) => answer(request, [[0, 0]]) });
      await assert.rejects(byMethod(path, 'fiemap', own), { code: 'VB_FILE_MAP' });
    },
  },
  {
    name: '8: a block device has its own length, and is data from end to end',
    on: 'ext4',
    check: async ({ path, libc, test }) => {
      await truncate(path, 3 * MiB + 512);
      using device = attachLoopDevice(test, path);
      for (const own of [libc, null]) {
        await using map = await openFilemap(device.path, { libc: own });
        assert.deepEqual(
          [map.isBlockDevice, map.method, map.size, await collect(map.extents())],
          [true, 'none', 3 * MiB + 512, [{ offset: 0, length: 3 * MiB + 512, kind: 'data' }]],
        );
      }
      await using map = await openFilemap(device.path);
      assert.equal(map.blockSize, 512);
      assert.deepEqual(await byMethod(device.path, 'scan'), [{ offset: 0, length: 3 * MiB + 512, kind: 'zero' }]);
      await assert.rejects(byMethod(device.path, 'seek'), { code: 'VB_UNSUPPORTED' });
    },
  },
  {
    name: '9: blocks are rounded outward where data ends inside one',
    on: 'xfs-1k',
    check: async ({ path }) => {
      await using file = await open(path, 'r+');
      await file.write(Buffer.alloc(5 * KiB, 1));
      await file.truncate(MiB);
      await using map = await openFilemap(path);
      assert.equal(map.blockSize, KiB);
      assert.deepEqual(await collect(map.dataRanges()), [{ offset: 0, length: 5 * KiB }]);
      assert.deepEqual(await collect(map.blockRanges(4 * KiB)), [{ first: 0, count: 2 }]);
    },
  },
  {
    name: '10: a folder that cannot be written to is enough, and nothing is left in it',
    on: 'ext4',
    check: async ({ path, folder }) => {
      await writeFile(path, Buffer.alloc(5000, 1));
      const names = await readdir(folder);
      execFileSync('mount', ['-o', 'remount,ro', folder]);
      try {
        for (const method of ['seek', 'fiemap', 'qemu-img', 'scan'] as const) {
          assert.deepEqual(
            (await byMethod(path, method)).map(({ length, kind }) => [length, kind]),
            [[5000, 'data']],
            method,
          );
        }
      } finally {
        execFileSync('mount', ['-o', 'remount,rw', folder]);
      }
      assert.deepEqual(await readdir(folder), names);
    },
  },
  {
    name: '11: SEEK writes nothing back',
    on: 'ext4',
    check: async ({ path, libc }) => {
      await using file = await open(path, 'r+');
      await file.write(Buffer.alloc(64 * KiB, 1));
      assert.deepEqual(await byMethod(path, 'seek'), [{ offset: 0, length: 64 * KiB, kind: 'data' }]);
      const request = Buffer.alloc(32 + 56);
      encodeFiemap(request, { offset: 0, length: MiB, flags: 0 });
      await libc.fiemap(file, request);
      const dirty = decodeFiemap(request).map(({ flags }) => flags % (2 * FIEMAP_EXTENT.delalloc));
      assert.deepEqual(dirty, [FIEMAP_EXTENT.last + FIEMAP_EXTENT.unknown + FIEMAP_EXTENT.delalloc]);
    },
  },
  {
    name: '12: asking for single bytes costs one map, not a call for each',
    on: 'ext4',
    check: async ({ path, libc }) => {
      await using file = await open(path, 'r+');
      for (let at = 0; at < 100; at++) await file.write(Buffer.alloc(4 * KiB, 1), 0, 4 * KiB, at * 64 * KiB);
      let calls = 0;
      const own = libcWith(libc, {
        seekData: (found, at) => {
          calls += 1;
          return libc.seekData(found, at);
        },
      });
      await using map = await openFilemap(path, { libc: own });
      calls = 0;
      let mapped = 0;
      for (let at = 0; at < map.size; at += 4 * KiB) if (await map.isMapped(at)) mapped += 1;
      assert.equal(mapped, 100);
      assert.ok(calls <= 101, `${calls} calls`);
    },
  },
  {
    name: '13: it can be stopped in the middle',
    on: 'ext4',
    check: async ({ path }) => {
      await using file = await open(path, 'r+');
      for (let at = 0; at < 1500; at++) await file.write(Buffer.alloc(4 * KiB, 1), 0, 4 * KiB, at * 16 * KiB);
      const controller = new AbortController();
      await using map = await openFilemap(path);
      let seen = 0;
      const work = async (): Promise<void> => {
        for await (const _extent of map.extents(undefined, { signal: controller.signal })) {
          seen += 1;
          controller.abort(new Error('enough'));
        }
      };
      await assert.rejects(work(), /enough/);
      assert.ok(seen > 0 && seen < 1100, `${seen} extents`);
    },
  },
];

describe('a fault of the classic Filemap.py', () => {
  const mounted = new Map<FileSystemKind, MountedFileSystem>();

  after(() => {
    for (const each of mounted.values()) each[Symbol.dispose]();
  });

  for (const { name, on, check } of FAULTS) {
    it(`${name} (${on})`, async function () {
      this.timeout('1m');
      const place = mounted.get(on) ?? mountFileSystem(this, on);
      mounted.set(on, place);
      const libc = await loadLibc();
      assert.ok(libc !== null);
      const path = join(place.path, 'image');
      await writeFile(path, '');
      await check({ path, folder: place.path, libc, test: this });
      await rm(path);
    });
  }
});
