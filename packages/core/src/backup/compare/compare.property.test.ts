import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../../testing/index.js';
import { type Manifest, openFileTarget, runRestore } from '../index.js';

const KiB = 1024;
const PAGE = 64 * KiB;
const FIRST_SIZE = 2560 * KiB + 512;
/** Where a disk ends inside a page, zeros there may be part of a longer run. */
const TAIL_SLACK = PAGE;

const write = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  length: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 900 * KiB })),
  kind: fc.constantFrom('other', 'other', 'zero', 'same'),
  byte: fc.integer({ min: 1, max: 255 }),
});

const round = fc.record({
  writes: fc.array(write, { maxLength: 4 }),
  growth: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ max: 3000 }) }),
  level: fc.constantFrom('auto', 'auto', 'auto', 'auto', 'diff', 'full'),
  compression: fc.constantFrom('lz4', 'none'),
  /** The server's allocation: none, or in pieces of so many bytes, of which some zeros are called data. */
  unit: fc.constantFrom(null, 4 * KiB, 48 * KiB, 300 * KiB),
  lies: fc.integer({ min: 1, max: 5 }),
});

describe('a chain without change tracking, whatever the guest writes', function () {
  this.timeout(240_000);

  it('restores every backup to its bytes, and stores no more than the pages that differ', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 2, maxLength: 6 }), async (rounds) => {
        await using fixture = await RepositoryFixture.create();
        const disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: FIRST_SIZE });
        const hypervisor = new FakeHypervisor([disk], { tracking: 'none' });
        const made: { readonly manifest: Manifest; readonly content: Buffer }[] = [];
        let base: Buffer = Buffer.alloc(0);
        for (const [number, { writes, growth, level, compression, unit, lies }] of rounds.entries()) {
          if (growth > 0) disk.resize(disk.size + growth * 512);
          for (const one of writes) guestWrite(disk, one);
          const content = disk.content();
          hypervisor.allocation =
            unit === null ? undefined : (range) => allocationOf(content, { ...range, unit, lies });
          const { manifest } = await fixture.backUp(hypervisor, number === 0 ? 'auto' : level, { compression });
          made.push({ manifest, content });
          const [{ level: found, dataLength, method } = assert.fail()] = manifest.disks;
          assert.equal(found, number === 0 || level === 'full' ? 'full' : level === 'auto' ? 'inc' : 'diff');
          assert.equal(method, found === 'full' ? 'all' : 'digests');
          if (found !== 'full')
            assert.ok(dataLength <= differing(base, content) + TAIL_SLACK, `${number}: ${dataLength}`);
          if (found !== 'full' && base.equals(content)) assert.equal(dataLength, 0);
          if (found !== 'diff') base = content;
        }
        for (const { manifest, content } of made) assert.ok(content.equals(await restored(fixture, manifest)));
        assert.deepEqual(await fixture.damage(), []);
        assert.equal(hypervisor.openReaders, 0);
      }),
      { numRuns: 25 },
    );
  });
});

type Write = typeof write extends fc.Arbitrary<infer Value> ? Value : never;

function guestWrite(disk: FakeDisk, { at, length, kind, byte }: Write): void {
  const offset = Math.floor(at * disk.size);
  const end = Math.min(disk.size, offset + length);
  if (kind === 'same') disk.guestWrite(offset, disk.content().subarray(offset, end));
  else disk.guestWrite(offset, Buffer.alloc(end - offset, kind === 'zero' ? 0 : byte));
}

/** Bytes of the pages that differ; beyond its end, what was there before was zero. */
function differing(before: Buffer, now: Buffer): number {
  const then = Buffer.alloc(now.length);
  before.copy(then);
  let length = 0;
  for (let at = 0; at < now.length; at += PAGE) {
    const page = now.subarray(at, at + PAGE);
    if (!page.equals(then.subarray(at, at + PAGE))) length += page.length;
  }
  return length;
}

async function restored(fixture: RepositoryFixture, manifest: Manifest): Promise<Buffer> {
  const path = join(fixture.folder, 'restored.raw');
  await runRestore({ repository: fixture.repository, manifest, disk: 'xvda', openTarget: openFileTarget(path) });
  const bytes = await readFile(path);
  await rm(path);
  return bytes;
}

function* allocationOf(
  content: Buffer,
  { offset: from, length: size, unit, lies }: { offset: number; length: number; unit: number; lies: number },
) {
  for (let offset = from; offset < from + size; ) {
    const end = Math.min(from + size, (Math.floor(offset / unit) + 1) * unit);
    const zero = content.subarray(offset, end).every((byte) => byte === 0) && Math.floor(offset / unit) % lies === 0;
    yield { offset, length: end - offset, kind: zero ? ('zero' as const) : ('data' as const) };
    offset = end;
  }
}
