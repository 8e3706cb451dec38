import assert from 'node:assert/strict';
import type { AllocationExtent } from '../extent/index.js';
import type { BlockReader, BlockWriter, OpenTarget, ReadPiece } from '../hypervisor/index.js';
import { FakeClock } from '../testing/fake-clock.js';
import { FakeReader, MappedFakeReader } from '../testing/index.js';
import { pacedReader, pacedTarget } from './paced.js';
import { RateLimiter } from './rate-limiter.js';

const MIB = 1024 * 1024;
const SPECIFICATION = { size: 64 * MIB, data: [], label: 'disk' };

describe('pacedReader', () => {
  it('reads what the disk holds, no faster than the rate', async () => {
    const clock = new FakeClock();
    let closed = false;
    const disk = new FakeReader(Buffer.alloc(8192, 7), { onClose: () => (closed = true) });
    {
      await using reader = pacedReader(disk, new RateLimiter(4096, clock));
      assert.equal(reader.size, 8192);
      assert.equal(reader.limits, disk.limits);
      assert.ok(!hasAllocation(reader), 'it knows no more than the disk');
      const [one, two] = [Buffer.alloc(4096), Buffer.alloc(4096)];
      await Promise.all([reader.read(0, one), reader.read(4096, two), clock.advance()]);
      assert.deepEqual([one, two], [Buffer.alloc(4096, 7), Buffer.alloc(4096, 7)]);
    }
    assert.equal(clock.now(), 900);
    assert.ok(closed);
  });

  it('counts pieces that are read at once as their sum, if the disk can do that', async () => {
    const clock = new FakeClock();
    const disk = new FakeReader(Buffer.alloc(8192, 7));
    assert.ok(pacedReader(disk, new RateLimiter(1, clock)).readAll === undefined, 'it can no more than the disk');
    const able: BlockReader = Object.assign(disk, {
      readAll: async (pieces: readonly ReadPiece[]) => {
        for (const { offset, target } of pieces) await disk.read(offset, target);
      },
    });
    const reader = pacedReader(able, new RateLimiter(4096, clock));
    const pieces = [0, 4096, 0].map((offset) => ({ offset, target: Buffer.alloc(4096) }));
    const more = [{ offset: 0, target: Buffer.alloc(512) }];
    await Promise.all([reader.readAll?.(pieces), reader.readAll?.(more), clock.advance()]);
    assert.ok([...pieces, ...more].every(({ target }) => target.every((byte) => byte === 7)));
    assert.equal(clock.now(), 2900);
  });

  it('says for nothing what is allocated', async () => {
    const clock = new FakeClock();
    const extents = [{ offset: 0, length: 8192, kind: 'zero' as const }];
    const disk = new MappedFakeReader(Buffer.alloc(8192), () => extents);
    const reader = pacedReader(disk, new RateLimiter(1, clock));
    const told: AllocationExtent[] = [];
    for await (const extent of reader.allocation?.({ offset: 0, length: 8192 }) ?? []) told.push(extent);
    assert.deepEqual(told, extents);
  });
});

describe('pacedTarget', () => {
  it('counts data and the zeros that are written, in pieces', async () => {
    const clock = new FakeClock();
    const calls: string[] = [];
    const target = await pacedTarget(recorder(calls, clock), new RateLimiter(MIB, clock))(SPECIFICATION);
    const work = (async () => {
      await target.write(0, Buffer.alloc(MIB));
      await target.zero(MIB, 40 * MIB);
      await target.write(41 * MIB, Buffer.alloc(MIB));
      await target.finish();
      await target[Symbol.asyncDispose]();
    })();
    await Promise.all([work, clock.advance()]);
    assert.deepEqual(calls, [
      '0.0 write 0 1',
      '0.9 zero 1 15',
      '15.9 zero 16 16',
      '31.9 zero 32 9',
      '40.9 write 41 1',
      '40.9 finish',
      '40.9 close',
    ]);
  });

  it('is what the target is', async () => {
    const limiter = new RateLimiter(1);
    const plain = await pacedTarget(recorder([], new FakeClock()), limiter)(SPECIFICATION);
    assert.deepEqual([plain.size, plain.zeroed, plain.anyOrder], [64 * MIB, false, undefined]);
    const any = await pacedTarget(recorder([], new FakeClock(), { anyOrder: true }), limiter)(SPECIFICATION);
    assert.equal(any.anyOrder, true);
  });

  it('can be made durable before it is finished where the target can', async () => {
    const calls: string[] = [];
    const clock = new FakeClock();
    const limiter = new RateLimiter(1);
    const plain = await pacedTarget(recorder(calls, clock), limiter)(SPECIFICATION);
    assert.ok(plain.sync === undefined);
    const sync = async (): Promise<void> => void calls.push('sync');
    const able = await pacedTarget(recorder(calls, clock, { sync }), limiter)(SPECIFICATION);
    await able.sync?.();
    await able.finish();
    assert.deepEqual(calls, ['sync', '0.0 finish']);
  });
});

const hasAllocation = (reader: BlockReader): boolean => reader.allocation !== undefined;

const recorder =
  (calls: string[], clock: FakeClock, traits: Pick<BlockWriter, 'anyOrder' | 'sync'> = {}): OpenTarget =>
  async ({ size }) => {
    const note = async (text: string): Promise<void> => {
      calls.push(`${(clock.now() / 1000).toFixed(1)} ${text}`);
    };
    return {
      ...traits,
      size,
      limits: { alignment: 1, maximumRequest: MIB, maximumInFlight: 1 },
      zeroed: false,
      write: (offset, bytes) => note(`write ${offset / MIB} ${bytes.length / MIB}`),
      zero: (offset, length) => note(`zero ${offset / MIB} ${length / MIB}`),
      finish: () => note('finish'),
      [Symbol.asyncDispose]: () => note('close'),
    };
  };
