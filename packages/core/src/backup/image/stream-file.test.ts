import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { adler32 } from '../../sparse-stream/adler32.js';
import { FakeDisk, FakeHypervisor, RepositoryFixture } from '../../testing/index.js';
import type { Manifest } from '../manifest.js';
import { shared } from '../workers/shared.js';
import { sharedWorkers, WorkerPool } from '../workers/worker-pool.js';
import { StreamFile } from './stream-file.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const PAGE = 64 * KiB;

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('StreamFile', () => {
  const lease = sharedWorkers.lease();
  let folder: string;
  let path: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-stream-'));
    path = join(folder, 'file');
  });
  after(async () => {
    await rm(folder, { recursive: true });
    await lease[Symbol.asyncDispose]();
  });

  it('holds what was appended, and says its sums, whenever they are given up', async () => {
    const piece = fc.record({ length: fc.integer({ min: 0, max: 1500 * KiB }), isShared: fc.boolean() });
    const stream = fc.record({
      pieces: fc.array(piece, { minLength: 1, maxLength: 8 }),
      sumsOnTheWay: fc.boolean(),
      giveUpAt: fc.option(fc.nat(8)),
      patch: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(stream, async ({ pieces, sumsOnTheWay, giveUpAt, patch }) => {
        const expected: Buffer[] = [];
        const file = await StreamFile.create(path, { workers: sharedWorkers, sumsOnTheWay });
        try {
          for (const [number, { length, isShared }] of pieces.entries()) {
            if (number === giveUpAt) file.giveUpSums();
            const bytes = randomBytes(length);
            expected.push(bytes);
            const buffers = [isShared ? shared(bytes) : bytes, Buffer.from('\r\n')];
            expected.push(Buffer.from('\r\n'));
            await file.append(buffers);
          }
          const content = Buffer.concat(expected);
          if (patch) await file.patch(content.fill('x', 0, 2).subarray(0, 2), 0);
          const sums = { sha256: sha256(content), adler32: adler32(content), size: content.length };
          assert.deepEqual(await file.finish({}), sums);
          assert.ok((await readFile(path)).equals(content));
        } finally {
          await file[Symbol.asyncDispose]();
        }
      }),
      { numRuns: 25 },
    );
  });

  it('is read for its sums where the worker that kept them is gone', async () => {
    const workers = new WorkerPool({ module: new URL('../workers/frame.worker.js', import.meta.url), count: 1 });
    const first = workers.lease();
    await using file = await StreamFile.create(path, { workers, sumsOnTheWay: true });
    // The pool ends its threads with its last lease.
    await first[Symbol.asyncDispose]();
    await using _second = workers.lease();
    const bytes = randomBytes(100 * KiB);
    await file.append([bytes]);
    assert.equal((await file.finish({})).sha256, sha256(bytes));
  });
});

describe('the stream of a backup', function () {
  this.timeout(30_000);
  let fixture: RepositoryFixture;
  let disk: FakeDisk;
  let hypervisor: FakeHypervisor;

  beforeEach(async () => {
    fixture = await RepositoryFixture.create();
    disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size: 5 * MiB + 512 });
    hypervisor = new FakeHypervisor([disk]);
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const allocated = (): void => {
    const content = disk.content();
    hypervisor.allocation = function* ({ offset, length }) {
      for (let at = offset; at < offset + length; at += PAGE) {
        const end = Math.min(at + PAGE, offset + length);
        const zero = content.subarray(at, end).every((byte) => byte === 0);
        yield { offset: at, length: end - at, kind: zero ? 'zero' : 'data' };
      }
    };
  };

  const check = async (manifest: Manifest): Promise<void> => {
    const { file, dataLength } = manifest.disks[0] ?? assert.fail();
    const path = join(fixture.repository.location, manifest.chain, file);
    const bytes = await readFile(path);
    assert.equal(manifest.files.find((entry) => entry.path === file)?.sha256, sha256(bytes));
    assert.equal(await readFile(`${path}.chksum`, 'latin1'), String(adler32(bytes)));
    assert.match(bytes.toString('latin1', 0, 400), new RegExp(`"dataSize": ${dataLength} *,`));
    assert.ok((await fixture.imageOf(manifest)).equals(disk.content()));
  };

  for (const compression of ['lz4', 'none'] as const) {
    it(`has its sums and its dataSize, whatever the plan said, with compression ${compression}`, async () => {
      disk.guestWrite(MiB, randomBytes(2 * MiB));
      // Every zero is known before.
      allocated();
      await check((await fixture.backUp(hypervisor, 'full', { compression })).manifest);
      // No zero is known before.
      hypervisor.allocation = undefined;
      await check((await fixture.backUp(hypervisor, 'full', { compression })).manifest);
      // Zeros of an increment are data.
      disk.guestWrite(MiB + 1000, randomBytes(70 * KiB));
      disk.guestWrite(2 * MiB, Buffer.alloc(3 * PAGE));
      disk.guestWrite(5 * MiB, randomBytes(100));
      const { manifest } = await fixture.backUp(hypervisor, 'inc', { compression });
      assert.equal(manifest.disks[0]?.dataLength, 5 * PAGE + 512);
      await check(manifest);
      // Nobody knows what will be left of these.
      hypervisor.tracking = 'none';
      disk.guestWrite(3 * MiB, Buffer.alloc(PAGE));
      await check((await fixture.backUp(hypervisor, 'inc', { compression })).manifest);
      // All data has changed and no zeros, as is guessed; and then a zero has.
      for (const from of [0, 2 * MiB]) {
        disk.guestWrite(from, Buffer.alloc(2 * MiB));
        disk.guestWrite(from + MiB, randomBytes(disk.size - from - MiB));
        allocated();
        await check((await fixture.backUp(hypervisor, 'inc', { compression })).manifest);
      }
    });

    it(`keeps a few zeros that nobody planned, and no more, with compression ${compression}`, async () => {
      const size = 24 * MiB;
      disk = new FakeDisk({ id: 'disk-1', name: 'xvda', size });
      hypervisor = new FakeHypervisor([disk]);
      disk.guestWrite(0, randomBytes(size));
      disk.guestWrite(3 * MiB, Buffer.alloc(PAGE));
      disk.guestWrite(9 * MiB, Buffer.alloc(PAGE));
      const { manifest } = await fixture.backUp(hypervisor, 'full', { compression });
      assert.equal(manifest.disks[0]?.dataLength, size);
      await check(manifest);
      // One page more than a 128th.
      disk.guestWrite(16 * MiB, Buffer.alloc(2 * PAGE));
      const other = (await fixture.backUp(hypervisor, 'full', { compression })).manifest;
      assert.equal(other.disks[0]?.dataLength, size - 2 * PAGE);
      await check(other);
    });
  }
});
