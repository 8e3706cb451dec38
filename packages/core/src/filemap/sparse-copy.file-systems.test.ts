import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  blocksOf,
  FILE_SYSTEM_KINDS,
  layouts,
  type MountedFileSystem,
  makeSparseFile,
  mountFileSystem,
  requireTools,
} from '../testing/index.js';
import { sparseCopy } from './index.js';

const MiB = 1024 * 1024;
const RUNS = 12;
const SHARING = ['xfs', 'xfs-1k', 'btrfs', 'btrfs-zstd'];

/** Some file systems decide on blocks when they write them. */
async function sync(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.sync();
}

/** The flags that filefrag prints of every extent of a file. */
function extentFlags(path: string): readonly string[] {
  const text = execFileSync('filefrag', ['-v', '-s', path], { encoding: 'utf8' });
  return text
    .split('\n')
    .flatMap((line) => (/^\s*\d+:/.test(line) ? [line.slice(line.lastIndexOf(':') + 1).trim()] : []));
}

for (const kind of FILE_SYSTEM_KINDS) {
  describe(`sparseCopy on ${kind}`, () => {
    let mounted: MountedFileSystem;
    let source: string;
    let target: string;

    before(function () {
      mounted = mountFileSystem(this, kind);
      source = join(mounted.path, 'source');
      target = join(mounted.path, 'target');
    });
    after(() => mounted?.[Symbol.dispose]());
    afterEach(async () => {
      for (const path of [source, target, join(mounted.path, 'peer')]) await rm(path, { force: true });
    });

    it('is byte-equal and takes no more blocks than cp --sparse=always', async () => {
      const peer = join(mounted.path, 'peer');
      await fc.assert(
        fc.asyncProperty(layouts, async (layout) => {
          const bytes = await makeSparseFile(source, layout);
          const summary = await sparseCopy({ source, target, existing: 'replace', reflink: 'never' });
          assert.ok((await readFile(target)).equals(bytes));
          assert.equal(summary.data + summary.zeros, bytes.length);
          execFileSync('cp', ['--sparse=always', '--reflink=never', source, peer]);
          await sync(peer);
          assert.ok((await blocksOf(target)) <= (await blocksOf(peer)), `${await blocksOf(target)} blocks`);
        }),
        { numRuns: RUNS },
      );
    });

    it('copies any part of a file to any place of a file, and touches nothing else', async () => {
      const numbers = fc.record({ skip: fc.nat(), length: fc.nat(), seek: fc.nat(70_000), detectZeroes: fc.boolean() });
      const holes = fc.constantFrom('punch', 'zero', 'write');
      await fc.assert(
        fc.asyncProperty(layouts, layouts, numbers, holes, async (layout, old, numbers, holes) => {
          const bytes = await makeSparseFile(source, layout);
          const before = await makeSparseFile(target, old);
          const skip = numbers.skip % (bytes.length + 1);
          const length = numbers.length % (bytes.length - skip + 1);
          const { seek, detectZeroes } = numbers;
          const range = { skip, length, seek };
          await sparseCopy({ source, target, ...range, holes, detectZeroes, existing: 'overwrite', fsync: false });
          const expected = Buffer.alloc(Math.max(before.length, seek + length));
          before.copy(expected);
          bytes.copy(expected, seek, skip, skip + length);
          assert.ok((await readFile(target)).equals(expected));
        }),
        { numRuns: RUNS },
      );
    });

    it('fills no hole where the kernel copies', async () => {
      const bytes = await makeSparseFile(source, [
        { kind: 'data', length: 64 * 1024 },
        { kind: 'hole', length: MiB },
        { kind: 'data', length: 100 },
        { kind: 'hole', length: MiB },
      ]);
      await sparseCopy({ source, target, skip: 1, detectZeroes: false });
      assert.ok((await readFile(target)).equals(bytes.subarray(1)));
      assert.ok((await blocksOf(target)) * 512 <= 128 * 1024, `${await blocksOf(target)} blocks`);
    });

    it('frees the blocks of an existing target under holes', async () => {
      await writeFile(target, Buffer.alloc(4 * MiB, 'old'));
      await makeSparseFile(source, [
        { kind: 'hole', length: MiB },
        { kind: 'zeros', length: MiB },
        { kind: 'data', length: 64 * 1024 },
        { kind: 'preallocated', length: 2 * MiB - 64 * 1024 },
      ]);
      await sparseCopy({ source, target, existing: 'overwrite' });
      assert.ok((await readFile(target)).equals(await readFile(source)));
      assert.ok((await blocksOf(target)) * 512 <= 256 * 1024, `${await blocksOf(target)} blocks`);
    });

    if (SHARING.includes(kind)) {
      it('shares the blocks of a whole file, unless that is forbidden', async function () {
        requireTools(this, ['filefrag']);
        const bytes = await makeSparseFile(source, [
          { kind: 'data', length: MiB },
          { kind: 'hole', length: MiB },
          { kind: 'data', length: 5000 },
        ]);
        const job = { source, target, existing: 'replace' } as const;
        const { method, data } = await sparseCopy({ ...job, verify: true });
        assert.equal(method, 'reflink');
        assert.ok(data >= MiB + 5000 && data < 2 * MiB, `${data}`);
        const flags = extentFlags(target);
        assert.ok(flags.length > 0 && flags.every((words) => words.includes('shared')), JSON.stringify(flags));
        assert.ok((await readFile(target)).equals(bytes));
        assert.equal((await sparseCopy({ ...job, reflink: 'never' })).method, 'copy');
        assert.ok(extentFlags(target).every((words) => !words.includes('shared')));
        assert.equal((await sparseCopy({ ...job, existing: 'truncate', reflink: 'always' })).method, 'reflink');
        assert.equal((await sparseCopy({ ...job, holes: 'zero' })).method, 'copy');
      });
    } else {
      it('says that blocks cannot be shared where that is demanded, and leaves nothing', async () => {
        await makeSparseFile(source, [{ kind: 'data', length: 5000 }]);
        await assert.rejects(sparseCopy({ source, target, reflink: 'always' }), { code: 'VB_UNSUPPORTED' });
        await assert.rejects(readFile(target), { code: 'ENOENT' });
        assert.equal((await sparseCopy({ source, target })).method, 'copy');
      });
    }
  });
}
