import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, mkdtemp, open, readdir, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Extent } from '../extent/index.js';
import type { Warning } from '../hypervisor/index.js';
import { collect } from '../testing/collect.js';
import { libcWith } from '../testing/libc-with.js';
import { requireTools } from '../testing/tools.js';
import { chooseMethod } from './choose-method.js';
import type { MapExtent, MapMethod } from './filemap.js';
import type { Libc } from './libc.js';
import { loadLibc } from './load-libc.js';
import { openFilemap } from './open-filemap.js';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('openFilemap', () => {
  let folder: string;
  let path: string;
  let libc: Libc;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-filemap-'));
    const loaded = await loadLibc();
    assert.ok(loaded !== null);
    libc = loaded;
  });

  after(() => rm(folder, { recursive: true }));

  /** 64 KiB of data at each of these offsets, in a file of `size` bytes. */
  async function makeFile(size: number, offsets: readonly number[]): Promise<void> {
    path = join(folder, 'image');
    await using file = await open(path, 'w');
    await file.truncate(size);
    for (const offset of offsets) await file.write(Buffer.alloc(64 * KiB, 1), 0, 64 * KiB, offset);
  }

  const data = (offset: number, length: number): MapExtent => ({ offset, length, kind: 'data' });
  const hole = (offset: number, length: number): MapExtent => ({ offset, length, kind: 'hole' });

  it('gives a complete cover, by default with SEEK_DATA and SEEK_HOLE', async () => {
    await makeFile(4 * MiB, [MiB, 2 * MiB]);
    const warnings: Warning[] = [];
    await using map = await openFilemap(path, { onWarning: (warning) => warnings.push(warning) });
    assert.deepEqual(await collect(map.extents()), [
      hole(0, MiB),
      data(MiB, 64 * KiB),
      hole(MiB + 64 * KiB, MiB - 64 * KiB),
      data(2 * MiB, 64 * KiB),
      hole(2 * MiB + 64 * KiB, 2 * MiB - 64 * KiB),
    ]);
    assert.equal(map.method, 'seek');
    assert.equal(map.size, 4 * MiB);
    assert.equal(map.isBlockDevice, false);
    assert.deepEqual(warnings, []);
  });

  it('cuts at both ends of a range, and says nothing of what lies behind the end of file', async () => {
    await makeFile(4 * MiB, [MiB]);
    await using map = await openFilemap(path);
    const extents = (offset: number, length: number): Promise<readonly MapExtent[]> =>
      collect(map.extents({ offset, length }));
    assert.deepEqual(await extents(MiB + 1, 64 * KiB), [data(MiB + 1, 64 * KiB - 1), hole(MiB + 64 * KiB, 1)]);
    assert.deepEqual(await extents(4 * MiB - 1, MiB), [hole(4 * MiB - 1, 1)]);
    assert.deepEqual(await extents(9 * MiB, MiB), []);
    assert.deepEqual(await extents(MiB, 0), []);
  });

  it('gives data, holes, blocks, bytes and sums of one and the same map', async () => {
    await makeFile(4 * MiB + 100, [MiB, 4 * MiB - 64 * KiB + 100]);
    await using map = await openFilemap(path);
    assert.deepEqual(await collect(map.dataRanges({ offset: 0, length: 2 * MiB })), [
      { offset: MiB, length: 64 * KiB },
    ]);
    assert.deepEqual(await collect(map.blockRanges(MiB)), [
      { first: 1, count: 1 },
      { first: 3, count: 2 },
    ]);
    assert.deepEqual(await Promise.all([0, MiB - 1, MiB, 4 * MiB + 99].map((offset) => map.isMapped(offset))), [
      false,
      false,
      true,
      true,
    ]);
    const { size, data: bytes, zero, hole: holes } = await map.statistics();
    assert.equal(size, 4 * MiB + 100);
    assert.equal(bytes + zero + holes, size);
  });

  it('follows links, and names what an open file is called', async () => {
    await makeFile(MiB, []);
    const link = join(folder, 'link');
    await symlink(path, link);
    await using followed = await openFilemap(link);
    assert.equal(followed.size, MiB);
    await using file = await open(path, 'r');
    await using own = await openFilemap(file);
    assert.equal(own.path, path);
    await rm(link);
  });

  it("leaves the file offset of somebody else's descriptor where it is", async () => {
    await makeFile(MiB, [0, 512 * KiB]);
    await using file = await open(path, 'r');
    await file.read(Buffer.alloc(100), 0, 100);
    await using map = await openFilemap(file);
    assert.equal((await collect(map.extents())).length, 4);
    const offset = execFileSync('grep', ['pos:', `/proc/${process.pid}/fdinfo/${file.fd}`], { encoding: 'utf8' });
    assert.match(offset, /^pos:\s*100$/m);
  });

  const types: readonly [string, () => Promise<string>][] = [
    ['a directory', async () => folder],
    [
      'a pipe, without waiting for its writer',
      async () => {
        execFileSync('mkfifo', [join(folder, 'pipe')]);
        return join(folder, 'pipe');
      },
    ],
    ['a character device', async () => '/dev/null'],
    ['a file of /proc', async () => '/proc/cpuinfo'],
    ['a file of /sys', async () => '/sys/kernel/mm/transparent_hugepage/enabled'],
  ];
  for (const [name, make] of types) {
    it(`refuses ${name}`, async () => {
      await assert.rejects(openFilemap(await make()), { code: 'VB_FILE_TYPE' });
    });
  }

  it('refuses a socket', async () => {
    const server = createServer().listen(join(folder, 'socket'));
    await once(server, 'listening');
    await assert.rejects(openFilemap(join(folder, 'socket')), { code: 'VB_FILE_TYPE' });
    server.close();
    await once(server, 'close');
  });

  it('says what is missing', async () => {
    await assert.rejects(openFilemap(join(folder, 'nothing')), { code: 'VB_IO', message: /nothing: ENOENT$/ });
  });

  it('refuses ranges, blocks and offsets that cannot be', async () => {
    await makeFile(MiB, []);
    await using map = await openFilemap(path);
    const invalid = { code: 'VB_INVALID_ARGUMENT' };
    for (const wrong of [-1, 0.5, Number.NaN, 2 ** 53]) {
      await assert.rejects(collect(map.extents({ offset: wrong, length: 1 })), invalid);
      await assert.rejects(collect(map.extents({ offset: 0, length: wrong })), invalid);
      await assert.rejects(collect(map.blockRanges(wrong)), invalid);
      await assert.rejects(map.isMapped(wrong), invalid);
    }
    await assert.rejects(map.isMapped(MiB), invalid);
  });

  describe('while something writes to the file', () => {
    const many = Array.from({ length: 1200 }, (_, index) => index * 128 * KiB);

    const changes: readonly [string, (file: FileHandle) => Promise<void>][] = [
      ['grows', (file) => file.truncate(200 * MiB)],
      ['shrinks', (file) => file.truncate(MiB)],
      ['vanishes but for its name', (file) => file.truncate(0)],
    ];
    for (const method of ['seek', 'fiemap', 'scan'] as const) {
      for (const [name, change] of changes) {
        it(`${method} says that it ${name}`, async () => {
          await makeFile(150 * MiB, method === 'scan' ? [0, 100 * MiB] : many);
          await using map = await openMethod(method);
          await using file = await open(path, 'r+');
          const work = async (): Promise<void> => {
            for await (const { offset } of map.extents()) if (offset === 0) await change(file);
          };
          await assert.rejects(work(), { code: 'VB_FILE_CHANGED' });
        });
      }
    }

    it('a hole punched where data was just found is called data, and is no endless loop', async () => {
      await makeFile(MiB, [256 * KiB]);
      const stubborn = libcWith(libc, {
        seekHole: (file, offset) => (offset === 256 * KiB ? offset : libc.seekHole(file, offset)),
      });
      await using map = await openFilemap(path, { libc: stubborn });
      assert.deepEqual(await collect(map.dataRanges()), [{ offset: 256 * KiB, length: 64 * KiB }]);
    });

    it('unwritten extents are data when the file was written to while FIEMAP looked', async () => {
      await makeFile(0, []);
      await using file = await open(path, 'r+');
      await libc.fallocate(file, 'allocate', { offset: 0, length: MiB });
      const ranges = async (own: Libc): Promise<readonly Extent[]> => {
        await using map = await openFilemap(path, { method: 'fiemap', libc: own });
        return await collect(map.dataRanges());
      };
      assert.deepEqual(await ranges(libc), []);
      const disturbed = libcWith(libc, {
        fiemap: async (found, request) => {
          await libc.fiemap(found, request);
          await file.write('x', 100);
        },
      });
      assert.deepEqual(await ranges(disturbed), [{ offset: 0, length: MiB }]);
    });

    const openMethod = (method: MapMethod) => openFilemap(path, { method });
  });

  describe('where the kernel does not answer', () => {
    const refusing = (): Libc =>
      libcWith(libc, {
        seekData: () => libc.seekData({ fd: -1 }, 0),
        fiemap: (_file, request) => libc.fiemap({ fd: -1 }, request),
      });

    async function open_(options: { readonly libc: Libc | null; readonly path?: string }): Promise<string[]> {
      const before = process.env['PATH'];
      if (options.path !== undefined) process.env['PATH'] = options.path;
      try {
        const said: string[] = [];
        await using map = await openFilemap(path, {
          libc: options.libc,
          onWarning: ({ code, message }) => said.push(`${code} ${/by ([a-z-]+):/.exec(message)?.[1]}`),
        });
        const extents = await collect(map.dataRanges());
        assert.deepEqual(extents, [{ offset: MiB, length: 64 * KiB }]);
        return [map.method, ...said];
      } finally {
        process.env['PATH'] = before;
      }
    }

    beforeEach(() => makeFile(4 * MiB, [MiB]));

    it('takes FIEMAP where SEEK is refused, and says so once', async () => {
      const own = libcWith(refusing(), { fiemap: (file, request) => libc.fiemap(file, request) });
      assert.deepEqual(await open_({ libc: own }), ['fiemap', 'VB_FILE_MAP_METHOD seek']);
    });

    it('takes qemu-img where the C library refuses, or koffi has no binary', async function () {
      requireTools(this, ['qemu-img']);
      const expected = ['qemu-img', 'VB_FILE_MAP_METHOD seek', 'VB_FILE_MAP_METHOD fiemap'];
      assert.deepEqual(await open_({ libc: refusing() }), expected);
      assert.deepEqual(await open_({ libc: null }), expected);
    });

    it('calls data what qemu-img leaves out', async () => {
      const bin = await mkdtemp(join(folder, 'bin-'));
      const entry = '{ "start": 1048576, "length": 65536, "zero": true, "data": false}';
      await writeFile(join(bin, 'qemu-img'), `#!/bin/sh\necho '[${entry}]'\n`, { mode: 0o755 });
      const before = process.env['PATH'];
      process.env['PATH'] = `${bin}:${before}`;
      try {
        await using map = await openFilemap(path, { method: 'qemu-img' });
        assert.deepEqual(await collect(map.extents()), [
          data(0, MiB),
          hole(MiB, 64 * KiB),
          data(MiB + 64 * KiB, 3 * MiB - 64 * KiB),
        ]);
      } finally {
        process.env['PATH'] = before;
      }
    });

    it('reads everything where qemu-img is missing as well', async () => {
      const methods = ['seek', 'fiemap', 'qemu-img'].map((method) => `VB_FILE_MAP_METHOD ${method}`);
      assert.deepEqual(await open_({ libc: null, path: '/nonexistent' }), ['scan', ...methods]);
    });

    it('calls all of it data where it cannot be read either', async () => {
      const warnings: Warning[] = [];
      const file = await open(path, 'r');
      await file.close();
      const source = { path, file, size: MiB, blockSize: 4096, isBlockDevice: false, libc: null };
      assert.equal(await chooseMethod(source, { onWarning: (warning) => warnings.push(warning) }), 'none');
      assert.match(warnings.at(-1)?.message ?? '', /by scan: cannot read .* at byte 0: EBADF$/);
      assert.equal(warnings.length, 4);
    });

    it('refuses a method that was named and cannot be used, and takes no other', async () => {
      const own = refusing();
      await assert.rejects(openFilemap(path, { method: 'seek', libc: own }), { code: 'VB_UNSUPPORTED' });
      await assert.rejects(openFilemap(path, { method: 'fiemap', libc: null }), { code: 'VB_UNSUPPORTED' });
    });
  });

  it('does nothing when it was aborted, and stops in the middle', async () => {
    await makeFile(MiB, [0]);
    for (const method of ['seek', 'fiemap', 'qemu-img', 'scan'] as const) {
      await assert.rejects(openFilemap(path, { method, signal: AbortSignal.abort(new Error('enough')) }), /enough/);
      await using map = await openFilemap(path, { method });
      const controller = new AbortController();
      const extents = map.extents(undefined, { signal: controller.signal })[Symbol.asyncIterator]();
      controller.abort(new Error('enough'));
      await assert.rejects(extents.next(), /enough/);
    }
  });

  it('lets the event loop turn between slices of system calls', async () => {
    const many = Array.from({ length: 1200 }, (_, index) => index * 128 * KiB);
    await makeFile(150 * MiB, many);
    let turns = 0;
    let done = false;
    const turn = (): void => {
      turns += 1;
      if (!done) setImmediate(turn);
    };
    await using map = await openFilemap(path);
    const extents = map.dataRanges()[Symbol.asyncIterator]();
    setImmediate(turn);
    for (let next = await extents.next(); next.done !== true; next = await extents.next());
    done = true;
    assert.ok(turns >= 2, `${turns} turns for 1200 ranges`);
  });

  it('leaves no descriptor and nothing beside the file', async () => {
    await makeFile(MiB, [0]);
    const descriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length;
    const [count, { mtimeMs }] = [await descriptors(), await stat(folder)];
    for (const method of ['seek', 'fiemap', 'qemu-img', 'scan', 'none'] as const) {
      await using map = await openFilemap(path, { method });
      for await (const _extent of map.extents()) break;
      await map[Symbol.asyncDispose]();
    }
    await assert.rejects(openFilemap(folder));
    assert.equal(await descriptors(), count);
    assert.equal((await stat(folder)).mtimeMs, mtimeMs);
  });

  it('maps nothing of an empty file, by every method', async () => {
    await makeFile(0, []);
    for (const method of ['auto', 'seek', 'fiemap', 'qemu-img', 'scan', 'none'] as const) {
      await using map = await openFilemap(path, { method });
      assert.deepEqual(await collect(map.extents()), []);
      assert.deepEqual(await map.statistics(), { size: 0, data: 0, zero: 0, hole: 0, extents: 0 });
    }
    await truncate(path, 0);
  });
});
