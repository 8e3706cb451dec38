import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { AllocationExtent, Extent } from '../../extent/index.js';
import { CrashingStore, collect } from '../../testing/index.js';
import type { DiskWrites, ServedDisk } from '../served-disk.js';
import { formatOverlay, Overlay } from './overlay.js';
import { OverlayDisk } from './overlay-disk.js';
import { PAGE_SPAN } from './overlay-format.js';
import type { OverlayStore } from './overlay-store.js';

const BLOCK = 4096;
const SIZE = 2 * PAGE_SPAN + 1000;
const BASE = { id: 'backup 1', disk: 'vda', size: SIZE };
const NO_SPACE = Object.assign(new Error('no space'), { code: 'ENOSPC' });

describe('OverlayDisk', () => {
  let store: CrashingStore;
  let disk: ServedDisk;
  let writes: DiskWrites;
  let asked: Extent[];
  let closed: number;

  /** All ones; its first block is a hole. */
  const base = (): ServedDisk => ({
    name: 'vda',
    description: 'a guest',
    size: SIZE,
    changedSince: [
      {
        id: 'backup 0',
        async *extents(range) {
          yield { ...range, dirty: false };
        },
      },
    ],
    read: async (offset, target) => {
      asked.push({ offset, length: target.length });
      target.fill(1);
    },
    async *extents(range): AsyncGenerator<AllocationExtent> {
      const end = range.offset + range.length;
      if (range.offset < BLOCK)
        yield { offset: range.offset, length: Math.min(BLOCK, end) - range.offset, kind: 'hole' };
      const offset = Math.max(BLOCK, range.offset);
      if (end > offset) yield { offset, length: end - offset, kind: 'data' };
    },
    [Symbol.asyncDispose]: async () => {
      closed += 1;
    },
  });

  const reopen = async (): Promise<void> => {
    const overlaid = new OverlayDisk(base(), await Overlay.open(store, BASE));
    disk = overlaid;
    writes = overlaid;
  };

  const read = async (offset: number, length: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(length, 99);
    await disk.read(offset, bytes);
    return bytes;
  };

  beforeEach(async () => {
    store = new CrashingStore(() => false);
    asked = [];
    closed = 0;
    await formatOverlay(store, BASE);
    await reopen();
  });

  it('keeps what is beside a small write, and asks the disk beneath for that alone', async () => {
    await writes.write(BLOCK + 10, Buffer.alloc(20, 7));
    assert.deepEqual(asked, [
      { offset: BLOCK, length: 10 },
      { offset: BLOCK + 30, length: BLOCK - 30 },
    ]);
    asked.length = 0;
    assert.deepEqual(
      await read(BLOCK, BLOCK),
      Buffer.concat([Buffer.alloc(10, 1), Buffer.alloc(20, 7), Buffer.alloc(BLOCK - 30, 1)]),
    );
    await writes.write(BLOCK, Buffer.alloc(10, 8));
    await writes.write(2 * BLOCK, Buffer.alloc(BLOCK, 9));
    assert.deepEqual(asked, [], 'a block that the overlay has, or that is written whole, needs nothing of it');
  });

  it('writes the last block of a disk, which is a short one', async () => {
    await writes.write(SIZE - 1, Buffer.from([5]));
    assert.deepEqual((await read(SIZE - 2, 2)).toJSON().data, [1, 5]);
    await writes.trim({ offset: SIZE - 1000, length: 1000 });
    assert.deepEqual(await read(SIZE - 1000, 1000), Buffer.alloc(1000));
    await disk[Symbol.asyncDispose]();
    await reopen();
    assert.deepEqual((await read(SIZE - 1001, 2)).toJSON().data, [1, 0]);
    assert.deepEqual(await read(SIZE - 999, 999), Buffer.alloc(999));
  });

  it('loses none of many small writes to the same blocks at once', async () => {
    const expected = await read(0, 16 * BLOCK);
    const places = Array.from({ length: 512 }, (_, index) => index).toSorted(() => randomInt(3) - 1);
    await Promise.all(
      places.map(async (place, order) => {
        const [offset, value] = [place * 128, 2 + (order % 200)];
        expected.fill(value, offset, offset + 100);
        if (order % 5 === 0) await writes.flush();
        await writes.write(offset, Buffer.alloc(100, value), { fua: order % 7 === 0 });
      }),
    );
    assert.ok(expected.equals(await read(0, 16 * BLOCK)));
    await writes.flush();
    store.crash();
    await reopen();
    assert.ok(expected.equals(await read(0, 16 * BLOCK)), 'a flush covers what every connection wrote');
  });

  it('takes a huge range of zeros, across pages of its map, without writing it', async () => {
    await writes.write(PAGE_SPAN - BLOCK, Buffer.alloc(2 * BLOCK, 7));
    const before = store.calls;
    await writes.zero({ offset: 100, length: SIZE - 200 }, { hole: true, fua: true });
    assert.ok(store.calls - before < 20, `${store.calls - before} calls`);
    for (const offset of [100, PAGE_SPAN - BLOCK, PAGE_SPAN, SIZE - 200]) {
      assert.deepEqual(await read(offset, 100), Buffer.alloc(100), `at ${offset}`);
    }
    assert.deepEqual((await read(99, 1))[0], 1);
    assert.deepEqual((await read(SIZE - 100, 1))[0], 1);
  });

  it('tells data, zeros and what lies beneath apart', async () => {
    await writes.write(3 * BLOCK, Buffer.alloc(BLOCK, 7));
    await writes.trim({ offset: 5 * BLOCK, length: BLOCK });
    await writes.zero({ offset: 6 * BLOCK, length: BLOCK }, { hole: false });
    const kinds = (await collect(disk.extents({ offset: 0, length: 8 * BLOCK }))).map(
      ({ offset, length, kind }) => `${offset / BLOCK}+${length / BLOCK} ${kind}`,
    );
    assert.deepEqual(kinds, ['0+1 hole', '1+2 data', '3+1 data', '4+1 data', '5+1 hole', '6+1 data', '7+1 data']);
    const [since] = disk.changedSince;
    assert.ok(since?.id === 'backup 0');
    const dirty = (await collect(since.extents({ offset: 0, length: 8 * BLOCK }))).map(
      (extent) => `${extent.offset / BLOCK}+${extent.length / BLOCK} ${extent.dirty}`,
    );
    assert.deepEqual(dirty, ['0+3 false', '3+1 true', '4+1 false', '5+1 true', '6+1 true', '7+1 false']);
  });

  it('is as it was where there is no space, and goes on when there is', async () => {
    await writes.write(BLOCK, Buffer.alloc(BLOCK, 7), { fua: true });
    store.failure = NO_SPACE;
    for (const change of [
      () => writes.write(2 * BLOCK, Buffer.alloc(3 * BLOCK, 8)),
      () => writes.zero({ offset: 2 * BLOCK, length: BLOCK }, { hole: false }),
      () => writes.write(3 * BLOCK + 5, Buffer.alloc(5, 8)),
    ]) {
      store.failAt = store.calls + 1;
      await assert.rejects(change(), NO_SPACE);
      store.failAt = Number.POSITIVE_INFINITY;
      assert.deepEqual(await read(2 * BLOCK, 3 * BLOCK), Buffer.alloc(3 * BLOCK, 1));
    }
    await writes.write(2 * BLOCK, Buffer.alloc(BLOCK, 8));
    // The bytes can be made durable, the map finds no space: the next flush tries it again.
    store.failAt = store.calls + 2;
    await assert.rejects(writes.flush(), NO_SPACE);
    store.failAt = Number.POSITIVE_INFINITY;
    await writes.flush();
    store.crash();
    await reopen();
    assert.deepEqual(await read(BLOCK, 2 * BLOCK), Buffer.concat([Buffer.alloc(BLOCK, 7), Buffer.alloc(BLOCK, 8)]));
    assert.deepEqual(await read(3 * BLOCK, BLOCK), Buffer.alloc(BLOCK, 1));
  });

  it('takes nothing more once the system could not make something durable, until it is opened again', async () => {
    await writes.write(BLOCK, Buffer.alloc(BLOCK, 7), { fua: true });
    await writes.write(BLOCK, Buffer.alloc(BLOCK, 8));
    store.failAt = store.calls + 1;
    await assert.rejects(writes.flush(), store.failure);
    store.failAt = Number.POSITIVE_INFINITY;
    await assert.rejects(writes.write(0, Buffer.alloc(1)), { code: 'VB_IO', message: /takes no more changes/ });
    await assert.rejects(writes.flush(), { code: 'VB_IO' });
    await assert.rejects(writes.trim({ offset: 0, length: BLOCK }), { code: 'VB_IO' });
    assert.equal((await read(BLOCK, 1))[0], 8, 'it can still be read');
    await assert.rejects(async () => disk[Symbol.asyncDispose](), { code: 'VB_IO' });
    assert.equal(closed, 1, 'the disk beneath is closed all the same');
    store.crash();
    await reopen();
    assert.equal((await read(BLOCK, 1))[0], 7);
  });

  it('never writes the map before the bytes that it speaks of are durable', async () => {
    const done: string[] = [];
    const watched = new Proxy(store, {
      get(target, name) {
        const found: unknown = Reflect.get(target, name, target);
        if (typeof found !== 'function') return found;
        return async (...values: readonly unknown[]): Promise<unknown> => {
          if (name === 'sync') done.push('sync');
          if (name === 'write') done.push(Number(values[1]) < 1024 * 1024 ? 'map' : 'data');
          return await found.apply(target, values);
        };
      },
    });
    const overlaid = new OverlayDisk(base(), await Overlay.open(watched, BASE));
    done.length = 0;
    await overlaid.write(0, Buffer.alloc(BLOCK));
    await overlaid.write(BLOCK, Buffer.alloc(BLOCK));
    await overlaid.flush();
    await overlaid.write(0, Buffer.alloc(BLOCK));
    await overlaid.flush();
    await overlaid.flush();
    assert.deepEqual(
      done,
      ['data', 'data', 'sync', 'map', 'sync', 'data', 'sync'],
      'what is known is not written again',
    );
  });

  it('never writes the map before bytes that were on their way while others were made durable', async () => {
    const done: string[] = [];
    const arrived = Promise.withResolvers<void>();
    const slow: OverlayStore = {
      read: (target, position) => store.read(target, position),
      write: async (bytes, position) => {
        const isMap = position < 1024 * 1024;
        if (!isMap) await arrived.promise;
        done.push(isMap ? 'map' : 'data');
        await store.write(bytes, position);
      },
      zero: (range) => store.zero(range),
      discard: (range) => store.discard(range),
      sync: async () => {
        done.push('sync');
        await store.sync();
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
    const overlaid = new OverlayDisk(base(), await Overlay.open(slow, BASE));
    done.length = 0;
    const written = overlaid.write(BLOCK, Buffer.alloc(BLOCK, 7));
    await turn();
    await overlaid.flush();
    arrived.resolve();
    await written;
    await overlaid.flush();
    assert.deepEqual(done.slice(done.indexOf('data')), ['data', 'sync', 'map', 'sync']);
  });
});
