import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Deferred } from '../../testing/deferred.js';
import { FrameCache } from './frame-cache.js';

const KiB = 1024;
const LENGTH = 64 * KiB;

describe('FrameCache', () => {
  /** A cache of so many of the smallest frames, and what was loaded. */
  function cacheOf(frames: number, longest = LENGTH): { cache: FrameCache; loads: string[] } {
    return { cache: new FrameCache({ bytes: frames * LENGTH, longest }), loads: [] };
  }

  const read = async (
    { cache, loads }: { cache: FrameCache; loads: string[] },
    key: string,
    length = LENGTH,
  ): Promise<string> => {
    let seen = '';
    await cache.use(key, {
      length,
      load: async (bytes) => {
        loads.push(key);
        await Promise.resolve();
        bytes.fill(key);
      },
      use: (bytes) => {
        assert.equal(bytes.length, length);
        seen = bytes.toString('latin1', 0, key.length);
        assert.equal(bytes.toString('latin1', length - 1), key.charAt((length - 1) % key.length));
      },
    });
    return seen;
  };

  it('loads a frame once, however many ask for it at once', async () => {
    const all = cacheOf(4);
    using _cache = all.cache;
    assert.deepEqual(await Promise.all(['a', 'a', 'b', 'a'].map((key) => read(all, key))), ['a', 'a', 'b', 'a']);
    assert.deepEqual(all.loads, ['a', 'b']);
  });

  it('forgets what was not used for longest', async () => {
    const all = cacheOf(2);
    using _cache = all.cache;
    for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) assert.equal(await read(all, key), key);
    assert.deepEqual(all.loads, ['a', 'b', 'c', 'b']);
  });

  it('makes room for a long frame, and takes short ones to their length', async () => {
    const all = cacheOf(16, 16 * LENGTH);
    using _cache = all.cache;
    const short = Array.from({ length: 16 }, (_, index) => `k${index}`);
    for (const key of [...short, ...short]) await read(all, key);
    assert.deepEqual(all.loads, short);
    assert.equal(await read(all, 'long', 16 * LENGTH), 'long');
    assert.equal(all.cache.has('k0'), false);
  });

  it('lends no more than there is: who comes later waits', async () => {
    const all = cacheOf(1);
    using _cache = all.cache;
    const gate = new Deferred();
    const first = all.cache.use('a', { length: LENGTH, load: () => gate.promise, use: () => {} });
    const second = read(all, 'b');
    const stop = new AbortController();
    const third = all.cache.use('c', { length: LENGTH, load: async () => {}, use: () => {} }, { signal: stop.signal });
    stop.abort(new Error('gone'));
    await assert.rejects(third, /gone/);
    assert.deepEqual(all.loads, []);
    gate.resolve();
    await first;
    assert.equal(await second, 'b');
  });

  const origin = (key: string) => ({ length: LENGTH, load: async (bytes: Buffer) => void bytes.fill(key) });

  it('keeps a frame that is lent, whatever is loaded meanwhile, until it is back', async () => {
    const all = cacheOf(4);
    using _cache = all.cache;
    {
      using loan = await all.cache.lend('a', origin('a'));
      for (const key of ['b', 'c', 'd', 'e', 'f']) await read(all, key);
      assert.deepEqual(loan?.parts, [Buffer.alloc(LENGTH, 'a')]);
      assert.equal(all.cache.has('a'), true);
    }
    for (const key of ['g', 'h', 'i', 'j']) await read(all, key);
    assert.equal(all.cache.has('a'), false);
  });

  it('lends half of its memory, and has the rest of the frames to be looked at', async () => {
    const all = cacheOf(4);
    using _cache = all.cache;
    const loans = [];
    for (const key of ['a', 'b', 'c']) loans.push(await all.cache.lend(key, origin(key)));
    assert.deepEqual(
      loans.map((loan) => loan?.parts[0]?.toString('latin1', 0, 1)),
      ['a', 'b', undefined],
    );
    for (const key of ['c', 'd', 'e', 'f']) assert.equal(await read(all, key), key);
    assert.deepEqual(all.loads, ['d', 'e', 'f']);
    loans[0]?.[Symbol.dispose]();
    using again = await all.cache.lend('f', origin('f'));
    assert.ok(again !== undefined);
    loans[1]?.[Symbol.dispose]();
  });

  it('lends nothing that could not be loaded', async () => {
    const all = cacheOf(2);
    using _cache = all.cache;
    const failing = { length: LENGTH, load: () => Promise.reject(new Error('damaged')) };
    await assert.rejects(all.cache.lend('a', failing), /damaged/);
    using again = await all.cache.lend('a', origin('a'));
    assert.ok(again !== undefined);
  });

  it('does not keep what could not be loaded, and tells everybody who waited for it', async () => {
    const all = cacheOf(1);
    using _cache = all.cache;
    const failing = { length: LENGTH, load: () => Promise.reject(new Error('damaged')), use: () => {} };
    const ends = await Promise.allSettled([all.cache.use('a', failing), all.cache.use('a', failing)]);
    assert.deepEqual(
      ends.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    assert.equal(all.cache.has('a'), false);
    assert.equal(await read(all, 'a'), 'a');
  });

  it('gives everybody the bytes of their frame, whatever is loaded, evicted and failing around it', async () => {
    const step = fc.record({ key: fc.integer({ min: 0, max: 9 }), fails: fc.integer({ min: 0, max: 9 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 8 }), { maxLength: 10 }), async (rounds) => {
        using cache = new FrameCache({ bytes: 8 * LENGTH, longest: 4 * LENGTH });
        for (const round of rounds) {
          const uses = round.map(async ({ key, fails }) => {
            const length = LENGTH * 2 ** (key % 3);
            const load = async (bytes: Buffer): Promise<void> => {
              bytes.fill(key);
              await new Promise(setImmediate);
              if (fails === 0) throw new Error('damaged');
            };
            const use = (bytes: Buffer): void => {
              assert.equal(bytes.length, length);
              assert.equal(bytes.at(0), key);
              assert.equal(bytes.at(-1), key);
            };
            try {
              using loan = await cache.lend(String(key), { length, load });
              await new Promise(setImmediate);
              for (const bytes of loan?.parts ?? []) use(bytes);
              await cache.use(String(key), { length, load, use });
            } catch (error) {
              assert.match(String(error), /damaged/);
            }
          });
          await Promise.all(uses);
        }
        // Nothing is left in use: all of it can be had at once.
        await Promise.all(
          ['x', 'y'].map((key) => cache.use(key, { length: 4 * LENGTH, load: async () => {}, use: () => {} })),
        );
      }),
      { numRuns: 50 },
    );
  });
});
