import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import {
  chmod,
  type FileHandle,
  link,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { constants as osConstants, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type Extent, intersect, subtract } from '../extent/index.js';
import {
  attachLoopDevice,
  blocksOf,
  type LoopDevice,
  type MountedFileSystem,
  makeSparseFile,
  mountFileSystem,
} from '../testing/index.js';
import { libcWith } from '../testing/libc-with.js';
import type { Filemap, FilemapOptions, MapExtent } from './filemap.js';
import { type SparseCopyJob, sparseCopy } from './index.js';
import type { Libc } from './libc.js';
import { loadLibc } from './load-libc.js';
import { openFilemap } from './open-filemap.js';
import { type CopyWorld, copyIn } from './sparse-copy.js';
import { SystemCallError } from './system-call-error.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/** 64 KiB of data, a hole, 64 KiB of data, and an odd tail. */
const LAYOUT = [
  { kind: 'data', length: 64 * KiB },
  { kind: 'hole', length: 128 * KiB },
  { kind: 'data', length: 64 * KiB },
  { kind: 'hole', length: 50_000 },
  { kind: 'data', length: 777 },
] as const;

const openFiles = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

describe('sparseCopy', () => {
  let folder: string;
  let source: string;
  let target: string;
  let bytes: Buffer;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-copy-'));
    source = join(folder, 'source');
    target = join(folder, 'target');
    bytes = await makeSparseFile(source, LAYOUT);
  });
  afterEach(() => rm(folder, { recursive: true }));

  const copy = (job: Partial<SparseCopyJob> = {}): ReturnType<typeof sparseCopy> =>
    sparseCopy({ source, target, reflink: 'never', ...job });
  const assertTarget = async (expected: Buffer): Promise<void> => {
    const found = await readFile(target);
    assert.equal(found.length, expected.length);
    assert.ok(found.equals(expected));
  };
  const assertNothingNew = async (): Promise<void> => assert.deepEqual(await readdir(folder), ['source']);

  describe('does not share the faults of the classic: it', () => {
    for (const skip of [1, 100, 4096, 64 * KiB, 65_536 + 1, 70_000, 200 * KiB, 300_000]) {
      it(`moves what lies behind ${skip} skipped bytes to the beginning, and shortens the copy by them`, async () => {
        const { length } = await copy({ skip });
        assert.equal(length, bytes.length - skip);
        await assertTarget(bytes.subarray(skip));
      });
    }

    it('makes the target as long as the place where the copy ends', async () => {
      await copy({ seek: 4096 });
      await assertTarget(Buffer.concat([Buffer.alloc(4096), bytes]));
      await copy({ seek: 99, skip: 10, length: 70_000, existing: 'truncate' });
      await assertTarget(Buffer.concat([Buffer.alloc(99), bytes.subarray(10, 70_010)]));
    });

    for (const holes of ['punch', 'zero', 'write'] as const) {
      it(`leaves no stale bytes under the holes of an existing target (${holes})`, async () => {
        await writeFile(target, Buffer.alloc(bytes.length, 'stale'));
        await copy({ existing: 'overwrite', holes, verify: true });
        await assertTarget(bytes);
        const taken = (await blocksOf(target)) * 512;
        assert.ok(holes === 'punch' ? taken < 200 * KiB : taken >= bytes.length, `${taken}`);
      });
    }

    it('cuts a longer target off behind the copy, or keeps its tail where that is asked for', async () => {
      const old = Buffer.alloc(bytes.length + 5000, 'old');
      for (const existing of ['truncate', 'replace', 'overwrite'] as const) {
        await writeFile(target, old);
        await copy({ existing });
        const tail = existing === 'overwrite' ? old.subarray(bytes.length) : Buffer.alloc(0);
        await assertTarget(Buffer.concat([bytes, tail]));
      }
    });

    it('calls a source that ends early an error, in a new file and in one that exists', async () => {
      const lying = { size: bytes.length + 8192 };
      await assert.rejects(copyIn(lyingWorld(lying), { source, target, reflink: 'never' }), {
        code: 'VB_FILE_SHORT',
        message: new RegExp(`source ends at byte ${bytes.length}, where 8192 more`),
      });
      await assertNothingNew();
    });

    it('never makes the target longer than the source, whatever the length of its last block', async () => {
      for (const length of [1, 511, 4095, 4097]) {
        await rm(target, { force: true });
        bytes = await makeSparseFile(source, [{ kind: 'data', length }]);
        await copy();
        await assertTarget(bytes);
      }
    });

    it('refuses a range that the source does not have, before anything is made', async () => {
      for (const range of [
        { skip: bytes.length + 1 },
        { length: bytes.length + 1 },
        { skip: 2, length: bytes.length - 1 },
      ]) {
        await assert.rejects(copy(range), { code: 'VB_FILE_SHORT' });
      }
      await assertNothingNew();
    });

    it('makes bytes and name durable, unless that is not wanted', async () => {
      const job = { existing: 'replace' } as const;
      assert.deepEqual(await synced(() => copy(job)), ['target.partial', basename(folder)]);
      assert.deepEqual(await synced(() => copy({ ...job, fsync: false })), []);
      assert.deepEqual(await synced(() => copy({ existing: 'truncate' })), ['target']);
    });

    it('closes every file it opens, when it copies and when it cannot', async () => {
      await copy();
      const before = await openFiles();
      await copy({ existing: 'replace', verify: true });
      await assert.rejects(copy(), { code: 'VB_TARGET_EXISTS' });
      await assert.rejects(copy({ skip: bytes.length + 1 }), { code: 'VB_FILE_SHORT' });
      await assert.rejects(copy({ source: folder, target: join(folder, 'other') }), { code: 'VB_FILE_TYPE' });
      assert.equal(await openFiles(), before);
    });

    it('refuses to copy a file onto itself, by whatever name', async () => {
      const [hard, soft] = [join(folder, 'hard'), join(folder, 'soft')];
      await link(source, hard);
      await symlink(source, soft);
      for (const name of [source, hard, soft]) {
        for (const existing of ['refuse', 'replace', 'truncate', 'overwrite'] as const) {
          await assert.rejects(copy({ target: name, existing }), { code: 'VB_FILE_SAME' });
        }
      }
      assert.ok((await readFile(source)).equals(bytes));
    });

    it('refuses a source that has the name of the unfinished target', async () => {
      await assert.rejects(copy({ source: `${target}.partial`, target }), { code: 'VB_IO' });
      await link(source, `${target}.partial`);
      await assert.rejects(copy({ source: `${target}.partial`, target }), { code: 'VB_FILE_SAME' });
      assert.ok((await readFile(source)).equals(bytes));
    });
  });

  it('says what it did', async () => {
    const progress: number[] = [];
    const { elapsedMs, ...summary } = await copy({ onProgress: ({ done }) => progress.push(done) });
    const data = 128 * KiB + 777;
    assert.ok(elapsedMs > 0 && summary.data >= data && summary.data < data + 8192);
    const length = bytes.length;
    assert.deepEqual(summary, {
      method: 'copy',
      mapMethod: 'seek',
      length,
      data: summary.data,
      zeros: length - summary.data,
    });
    assert.equal(progress.at(-1), bytes.length);
    assert.deepEqual(
      progress,
      progress.toSorted((left, right) => left - right),
    );
  });

  it('keeps stored zeros stored where they are not to be found', async () => {
    await makeSparseFile(source, [{ kind: 'zeros', length: MiB }]);
    const counts = async (job: Partial<SparseCopyJob>): Promise<readonly number[]> => {
      const { data, zeros } = await copy({ ...job, existing: 'replace' });
      // Where free space lies in pieces, ext4 adds a block of its own that lists them.
      return [data, zeros, Math.floor(((await blocksOf(target)) * 512) / MiB)];
    };
    assert.deepEqual(await counts({}), [0, MiB, 0]);
    assert.deepEqual(await counts({ detectZeroes: false }), [MiB, 0, 1]);
    assert.deepEqual(await counts({ holes: 'zero' }), [0, MiB, 1]);
    assert.deepEqual(await counts({ holes: 'write' }), [MiB, 0, 1]);
  });

  it('leaves what lies under holes where that is asked for, and verifies the rest', async () => {
    await writeFile(target, Buffer.alloc(bytes.length, 'o'));
    await copy({ existing: 'overwrite', holes: 'leave', verify: true });
    const found = await readFile(target);
    assert.ok(found.subarray(64 * KiB, 192 * KiB).equals(Buffer.alloc(128 * KiB, 'o')));
    assert.ok(found.subarray(192 * KiB, 256 * KiB).equals(bytes.subarray(192 * KiB, 256 * KiB)));
  });

  it('copies nothing of an empty file', async () => {
    bytes = await makeSparseFile(source, []);
    const { data, zeros } = await copy({ verify: true });
    assert.deepEqual([data, zeros], [0, 0]);
    await assertTarget(bytes);
  });

  it('gives a new file the permissions of its source, and one that is replaced its own', async () => {
    await chmod(source, 0o640);
    await copy();
    assert.equal((await stat(target)).mode % 0o1000, 0o640);
    await chmod(target, 0o604);
    await copy({ existing: 'replace' });
    assert.equal((await stat(target)).mode % 0o1000, 0o604);
  });

  it('replaces the file that a link points to, and no link that points nowhere', async () => {
    const linked = join(folder, 'link');
    await symlink(target, linked);
    await assert.rejects(copy({ target: linked }), { code: 'VB_TARGET_INVALID' });
    await writeFile(target, 'old');
    await copy({ target: linked, existing: 'replace' });
    await assertTarget(bytes);
    assert.equal((await readdir(folder)).length, 3);
  });

  it('takes no name that someone else took while it copied', async () => {
    const onProgress = (): void => writeFileSync(target, '');
    await assert.rejects(copy({ onProgress }), { code: 'VB_TARGET_EXISTS' });
    assert.deepEqual(await readdir(folder), ['source', 'target']);
    assert.equal((await readFile(target)).length, 0);
  });

  it('gives no name to another copy that took its place, and leaves that one alone', async () => {
    const partial = `${target}.partial`;
    const onProgress = (): void => {
      rmSync(partial);
      writeFileSync(partial, 'of another copy');
    };
    await assert.rejects(copy({ onProgress }), { code: 'VB_FILE_CHANGED', message: /target\.partial was taken away/ });
    assert.deepEqual(await readdir(folder), ['source', 'target.partial']);
    assert.equal((await readFile(partial)).toString(), 'of another copy');
  });

  it('removes what a dead run left under the unfinished name', async () => {
    await writeFile(`${target}.partial`, Buffer.alloc(9 * MiB, 'x'));
    await copy();
    await assertTarget(bytes);
    assert.deepEqual(await readdir(folder), ['source', 'target']);
  });

  const refusals: readonly [string, string, Partial<SparseCopyJob> | (() => Promise<Partial<SparseCopyJob>>)][] = [
    ['a target that exists', 'VB_TARGET_EXISTS', async () => writeFile(target, 'old').then(() => ({}))],
    ['a folder as target', 'VB_TARGET_INVALID', async () => mkdir(target).then(() => ({ existing: 'replace' }))],
    ['a folder as source', 'VB_FILE_TYPE', () => Promise.resolve({ source: folder })],
    ['a pipe as source', 'VB_FILE_TYPE', async () => makePipe(join(folder, 'pipe'))],
    ['a file of /proc', 'VB_FILE_TYPE', { source: '/proc/self/status' }],
    ['a source that is not there', 'VB_IO', { source: '/no/such/file' }],
    ['a target in a folder that is not there', 'VB_IO', { target: '/no/such/folder/target' }],
    ['a negative offset', 'VB_INVALID_ARGUMENT', { skip: -1 }],
    ['half a byte', 'VB_INVALID_ARGUMENT', { length: 0.5 }],
    ['an offset beyond 2^53', 'VB_INVALID_ARGUMENT', { seek: 2 ** 53 }],
    ['a copy that ends beyond 2^53', 'VB_INVALID_ARGUMENT', { seek: 2 ** 53 - 1 }],
    ['to replace a file from its middle on', 'VB_INVALID_ARGUMENT', { seek: 1, existing: 'replace' }],
    ['a reflink of a part', 'VB_INVALID_ARGUMENT', { reflink: 'always', skip: 4096 }],
    ['a reflink with other holes', 'VB_INVALID_ARGUMENT', { reflink: 'always', holes: 'write' }],
  ];
  for (const [name, code, job] of refusals) {
    it(`refuses ${name}`, async () => {
      await assert.rejects(copy(typeof job === 'function' ? await job() : job), { code });
      assert.ok(!(await readdir(folder)).some((file) => file.endsWith('.partial')));
    });
  }
  const makePipe = async (source: string): Promise<Partial<SparseCopyJob>> => {
    execFileSync('mkfifo', [source]);
    return { source };
  };

  describe('with a source that changes meanwhile', () => {
    const big = [{ kind: 'data', length: 8 * MiB }] as const;
    const changes: readonly [string, string, () => Promise<void>][] = [
      ['is written to', 'VB_FILE_CHANGED', () => writeFile(source, 'x', { flag: 'r+' })],
      ['grows', 'VB_FILE_CHANGED', () => truncate(source, 9 * MiB)],
      ['shrinks', 'VB_FILE_', () => truncate(source, MiB)],
    ];
    for (const [name, code, change] of changes) {
      it(`ends with ${code} where it ${name}, and leaves nothing`, async () => {
        await makeSparseFile(source, big);
        await utimes(source, 1, 1);
        let changing: Promise<void> | undefined;
        const onProgress = (): void => {
          changing ??= change();
        };
        const stop = await copy({ onProgress }).then(
          () => 'copied',
          (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : String(error)),
        );
        await changing;
        assert.ok(stop.startsWith(code), stop);
        await assertNothingNew();
      });
    }
  });

  it('is stopped by its signal midway, and leaves nothing', async () => {
    await makeSparseFile(source, [{ kind: 'data', length: 8 * MiB }]);
    const before = await openFiles();
    const stop = new AbortController();
    let calls = 0;
    const onProgress = (): void => {
      calls += 1;
      if (calls === 3) stop.abort();
    };
    await assert.rejects(copy({ signal: stop.signal, onProgress }), { code: 'VB_ABORTED' });
    assert.equal(calls, 3);
    await assertNothingNew();
    await assert.rejects(copy({ signal: AbortSignal.abort(new Error('enough')) }), /enough/);
    assert.equal(await openFiles(), before);
  });

  describe('when it verifies', () => {
    it('names the first byte that differs, of a map that called data a hole; no file gets the name', async () => {
      const world = lyingWorld({ hole: { offset: 200 * KiB, length: 4096 } });
      const message = new RegExp(`target differs from .*source at byte ${200 * KiB}$`);
      const job = { source, target, reflink: 'never' } as const;
      await assert.rejects(copyIn(world, { ...job, verify: true }), { code: 'VB_COPY_DIFFERS', message });
      await assertNothingNew();
      await copyIn(world, job);
      assert.ok(!(await readFile(target)).equals(bytes), 'without verify nobody finds it');
    });

    it('names the place on both sides where they are not the same', async () => {
      const world = lyingWorld({ hole: { offset: 4096, length: 4096 } });
      const job = { source, target, skip: 4096, seek: 100, verify: true } as const;
      await assert.rejects(copyIn(world, job), { message: /at byte 4096 of the source, 100 of the target$/ });
    });

    it('tells its progress', async () => {
      const seen = new Set<string>();
      await copy({ verify: true, onProgress: ({ phase, done, length }) => done === length && seen.add(phase) });
      assert.deepEqual([...seen], ['copy', 'verify']);
    });
  });

  it('goes on by itself where the kernel copies only the beginning', async () => {
    const libc = await loadLibc();
    assert.ok(libc !== null);
    const lengths: number[] = [];
    // Three calls of at most 1000 bytes: then the kernel has changed its mind, as it may at the end of a file system.
    const copyFileRange: Libc['copyFileRange'] = async (request) => {
      if (lengths.length === 3) throw new SystemCallError('copy_file_range', osConstants.errno.EXDEV);
      lengths.push(await libc.copyFileRange({ ...request, length: Math.min(request.length, 1000) }));
      return lengths.at(-1) ?? 0;
    };
    const half = libcWith(libc, {
      clone: () => Promise.reject(new SystemCallError('clone', osConstants.errno.EOPNOTSUPP)),
      copyFileRange,
    });
    const { data } = await copyIn(
      { openFilemap, loadLibc: () => Promise.resolve(half) },
      { source, target, detectZeroes: false },
    );
    assert.deepEqual(lengths, [1000, 1000, 1000]);
    assert.ok(data >= 128 * KiB + 777);
    await assertTarget(bytes);
  });

  const { EPERM, EACCES, EBADF, ETXTBSY, ENOTTY, ENOENT, EIO, ENOSPC, ENOMEM, EDQUOT } = osConstants.errno;
  const refusing = async (clone: number, copyFileRange: number | null): Promise<CopyWorld> => {
    const libc = await loadLibc();
    assert.ok(libc !== null);
    const own: Partial<Libc> = {
      clone: () => Promise.reject(new SystemCallError('clone', clone)),
      copyFileRange: async () => {
        if (copyFileRange !== null) throw new SystemCallError('copy_file_range', copyFileRange);
        return Promise.resolve(0);
      },
    };
    return { openFilemap, loadLibc: () => Promise.resolve(libcWith(libc, own)) };
  };
  const odd: readonly [string, number, number | null][] = [
    ['containers and file servers refuse reflinks (EPERM), and the kernel’s copy too', EPERM, EPERM],
    ['both are refused by a policy (EACCES)', EACCES, EACCES],
    ['a swap file refuses (ETXTBSY)', ETXTBSY, ETXTBSY],
    ['a file server has words of its own (EBADF, ENOENT)', EBADF, ENOENT],
    ['the kernel says that it copied nothing', ENOTTY, null],
  ];
  for (const [name, clone, copyFileRange] of odd) {
    it(`copies by itself where ${name}`, async () => {
      await copyIn(await refusing(clone, copyFileRange), { source, target, detectZeroes: false, verify: true });
      await assertTarget(bytes);
    });
  }

  it('does not hide trouble that the kernel meets', async () => {
    for (const [errno, code] of [
      [EIO, 'VB_IO'],
      [ENOMEM, 'VB_IO'],
      [ENOSPC, 'VB_NO_SPACE'],
      [EDQUOT, 'VB_NO_SPACE'],
    ] as const) {
      await assert.rejects(copyIn(await refusing(errno, errno), { source, target }), { code });
      await assert.rejects(copyIn(await refusing(EPERM, errno), { source, target, detectZeroes: false }), { code });
    }
    await assertNothingNew();
  });

  it('calls a source short as well where the kernel copies', async () => {
    await assert.rejects(
      copyIn(lyingWorld({ size: bytes.length + 1 }), { source, target, skip: 1, detectZeroes: false }),
      {
        code: 'VB_FILE_SHORT',
      },
    );
    await assertNothingNew();
  });

  it('works without the C library, and writes the zeros then', async () => {
    await writeFile(target, Buffer.alloc(bytes.length, 'old'));
    const world = { openFilemap, loadLibc: () => Promise.resolve(null) };
    await copyIn(world, { source, target, existing: 'overwrite', verify: true });
    await assertTarget(bytes);
    await assert.rejects(copyIn(world, { source, target, existing: 'replace', reflink: 'always' }), {
      code: 'VB_UNSUPPORTED',
    });
    await assertTarget(bytes);
  });

  describe('on a file system that is full', () => {
    let mounted: MountedFileSystem;
    before(function () {
      mounted = mountFileSystem(this, 'tmpfs', { size: 2 * MiB });
    });
    after(() => mounted?.[Symbol.dispose]());

    it('ends with VB_NO_SPACE, and leaves nothing of a new file', async () => {
      await makeSparseFile(source, [{ kind: 'data', length: 4 * MiB }]);
      for (const job of [{}, { detectZeroes: false }]) {
        await assert.rejects(copy({ ...job, target: join(mounted.path, 'target') }), { code: 'VB_NO_SPACE' });
        assert.deepEqual(await readdir(mounted.path), []);
      }
    });

    it('says so too where only the preallocation finds no space', async () => {
      await makeSparseFile(source, [{ kind: 'hole', length: 4 * MiB }]);
      await copy({ target: join(mounted.path, 'target') });
      const job = { target: join(mounted.path, 'other'), holes: 'zero' } as const;
      await assert.rejects(copy(job), { code: 'VB_NO_SPACE' });
    });
  });

  describe('with block devices', () => {
    const SIZE = 4 * MiB;
    let backing: string;
    let device: LoopDevice;

    beforeEach(async function () {
      backing = join(folder, 'backing');
      await writeFile(backing, Buffer.alloc(SIZE, 'old'));
      device = attachLoopDevice(this, backing);
    });
    afterEach(() => device?.[Symbol.dispose]());

    for (const holes of ['punch', 'zero', 'write'] as const) {
      it(`writes to one, at any place, with holes as zeros (${holes})`, async () => {
        const seek = 512 + 77;
        const { data } = await copy({ target: device.path, seek, holes, verify: true });
        assert.ok(data < 200 * KiB || holes === 'write');
        const expected = Buffer.alloc(SIZE, 'old');
        bytes.copy(expected, seek);
        assert.ok((await readFile(device.path)).equals(expected));
        assert.ok(
          holes !== 'punch' || (await blocksOf(backing)) * 512 < SIZE - 64 * KiB,
          'the hole reached the device',
        );
      });
    }

    it('reads one, and finds the zeros', async () => {
      await copy({ target: device.path, holes: 'write' });
      const { mapMethod, length, data } = await copy({ source: device.path, length: bytes.length, verify: true });
      assert.deepEqual([mapMethod, length], ['none', bytes.length]);
      assert.ok(data < 200 * KiB);
      await assertTarget(bytes);
      await copy({ source: device.path, existing: 'replace' });
      assert.equal((await stat(target)).size, SIZE);
      assert.equal((await stat(target)).mode % 0o1000, 0o600);
    });

    it('copies one to another', async function () {
      const other = join(folder, 'other');
      await writeFile(other, Buffer.alloc(SIZE));
      using second = attachLoopDevice(this, other);
      await copy({ source: device.path, target: second.path, verify: true });
      assert.ok((await readFile(second.path)).equals(Buffer.alloc(SIZE, 'old')));
    });

    it('refuses one that is too small, and writes nothing', async () => {
      await assert.rejects(copy({ target: device.path, seek: SIZE - bytes.length + 1 }), {
        code: 'VB_TARGET_TOO_SMALL',
      });
      await assert.rejects(copy({ target: device.path, reflink: 'always' }), { code: 'VB_UNSUPPORTED' });
      assert.ok((await readFile(device.path)).equals(Buffer.alloc(SIZE, 'old')));
    });

    it('refuses to copy one onto itself, by another node of the same device', async () => {
      const node = join(folder, 'node');
      execFileSync('cp', ['-a', device.path, node]);
      await assert.rejects(copy({ source: device.path, target: node }), { code: 'VB_FILE_SAME' });
    });

    it('refuses one that is mounted', async () => {
      const mountPoint = join(folder, 'mounted');
      await mkdir(mountPoint);
      execFileSync('mkfs.ext4', ['-q', '-F', device.path]);
      execFileSync('mount', [device.path, mountPoint]);
      try {
        await assert.rejects(copy({ target: device.path }), { code: 'VB_TARGET_INVALID', message: /in use/ });
      } finally {
        execFileSync('umount', [mountPoint]);
      }
    });
  });
});

/** What was synced while `work` ran, by name, in order. */
async function synced(work: () => Promise<unknown>): Promise<readonly string[]> {
  const names: string[] = [];
  await using any = await open('/dev/null');
  const prototype: { sync: (this: FileHandle) => Promise<void> } = Object.getPrototypeOf(any);
  const { sync } = prototype;
  prototype.sync = async function () {
    names.push(basename(await readlink(`/proc/self/fd/${this.fd}`)));
    return sync.call(this);
  };
  try {
    await work();
  } finally {
    prototype.sync = sync;
  }
  return names;
}

interface Lie {
  readonly size?: number;
  /** What is called a hole, all else being called data. */
  readonly hole?: Extent;
}

/** A world whose map lies. */
function lyingWorld({ size, hole }: Lie): CopyWorld {
  async function* extents(range: Extent): AsyncGenerator<MapExtent> {
    await Promise.resolve();
    const holes = [...intersect([range], hole === undefined ? [] : [hole])];
    const data = [...subtract([range], holes)];
    const all = [
      ...holes.map((at) => ({ kind: 'hole', ...at }) as const),
      ...data.map((at) => ({ kind: 'data', ...at }) as const),
    ];
    yield* all.toSorted((left, right) => left.offset - right.offset);
  }
  const open = async (file: FileHandle, options: FilemapOptions): Promise<Filemap> => {
    const map = await openFilemap(file, options);
    const { path, blockSize, method, fileSystem, isBlockDevice } = map;
    return {
      path,
      blockSize,
      method,
      fileSystem,
      isBlockDevice,
      size: size ?? map.size,
      extents: (range = { offset: 0, length: size ?? map.size }) => extents(range),
      dataRanges: (range, options) => map.dataRanges(range, options),
      holeRanges: (range, options) => map.holeRanges(range, options),
      blockRanges: (blockLength, options) => map.blockRanges(blockLength, options),
      isMapped: (offset, options) => map.isMapped(offset, options),
      statistics: (options) => map.statistics(options),
      [Symbol.asyncDispose]: () => map[Symbol.asyncDispose](),
    };
  };
  return { openFilemap: open, loadLibc };
}
