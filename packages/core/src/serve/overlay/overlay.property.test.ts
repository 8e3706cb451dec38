import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Extent } from '../../extent/index.js';
import { CrashingStore } from '../../testing/index.js';
import type { ServedDisk } from '../served-disk.js';
import { formatOverlay, Overlay } from './overlay.js';
import { OverlayDisk } from './overlay-disk.js';
import { PAGE_SPAN } from './overlay-format.js';

const SECTOR = 512;
/** The disk ends within a block; two windows of it are looked at: about the border of two pages of the map, and its end. */
const SIZE = PAGE_SPAN + 7 * 4096 + 1536;
const WINDOW = 10 * 4096;
const WINDOWS = [PAGE_SPAN - 5 * 4096, SIZE - WINDOW + 5 * SECTOR];
const BASE = { id: 'backup 1', disk: 'vda', size: SIZE };

/** Every sector of the disk beneath says which one it is. */
function baseDisk(): ServedDisk {
  return {
    name: 'vda',
    description: '',
    size: SIZE,
    changedSince: [],
    read: async (offset, target) => {
      for (let at = 0; at < target.length; at += 1) target[at] = 1 + (Math.floor((offset + at) / SECTOR) % 100);
    },
    async *extents(range) {
      yield { ...range, kind: 'data' as const };
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

type Step =
  | { readonly kind: 'write' | 'zero' | 'trim'; readonly range: Extent; readonly value: number; readonly fua: boolean }
  | { readonly kind: 'flush' | 'restart' | 'kill' };

const range = fc
  .record({
    window: fc.constantFrom(...WINDOWS),
    from: fc.nat(WINDOW / SECTOR - 1),
    count: fc.integer({ min: 1, max: 40 }),
  })
  .map(({ window, from, count }) => {
    const offset = window + from * SECTOR;
    const length = Math.min(count * SECTOR, window + WINDOW - offset, SIZE - offset);
    return { offset, length };
  })
  .filter(({ length }) => length > 0);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('write' as const, 'zero' as const, 'trim' as const),
      range,
      value: fc.integer({ min: 101, max: 255 }),
      fua: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('flush' as const, 'restart' as const, 'kill' as const) }) },
);

/** What the sectors of the windows hold, and what they may hold after a crash. */
class Model {
  readonly #now = new Map<number, number>();
  readonly #possible = new Map<number, Set<number>>();

  static async of(disk: ServedDisk): Promise<Model> {
    const model = new Model();
    for (const sector of sectors()) {
      const value = await sectorOf(disk, sector);
      model.#now.set(sector, value);
      model.#possible.set(sector, new Set([value]));
    }
    return model;
  }

  put({ offset, length }: Extent, value: number): void {
    for (let at = offset; at < offset + length; at += SECTOR) {
      this.#now.set(at / SECTOR, value);
      this.#possible.get(at / SECTOR)?.add(value);
    }
  }

  flushed(): void {
    for (const [sector, value] of this.#now) this.#possible.set(sector, new Set([value]));
  }

  async check(disk: ServedDisk): Promise<void> {
    for (const [sector, value] of this.#now) assert.equal(await sectorOf(disk, sector), value, `sector ${sector}`);
  }

  /** Each sector is what was flushed last, or what was written since. */
  async checkAfterCrash(disk: ServedDisk): Promise<void> {
    for (const [sector, possible] of this.#possible) {
      const value = await sectorOf(disk, sector);
      assert.ok(possible.has(value), `sector ${sector} is ${value}, none of ${[...possible].join()}`);
      this.#now.set(sector, value);
    }
    this.flushed();
  }
}

function* sectors(): Generator<number> {
  for (const window of WINDOWS) {
    for (let at = window; at < Math.min(window + WINDOW, SIZE); at += SECTOR) yield at / SECTOR;
  }
}

/** The value of all bytes of a sector, which must be one. */
async function sectorOf(disk: ServedDisk, sector: number): Promise<number> {
  const bytes = Buffer.alloc(SECTOR);
  await disk.read(sector * SECTOR, bytes);
  assert.ok(bytes.equals(Buffer.alloc(SECTOR, bytes[0])), `sector ${sector} is mixed`);
  return bytes[0] ?? 0;
}

async function perform(disk: ServedDisk, model: Model, now: Step): Promise<void> {
  const { writes } = disk;
  assert.ok(writes !== undefined);
  if (now.kind === 'flush') {
    await writes.flush();
    model.flushed();
  }
  if (now.kind !== 'write' && now.kind !== 'zero' && now.kind !== 'trim') return;
  const { fua } = now;
  const value = now.kind === 'write' ? now.value : 0;
  model.put(now.range, value);
  if (now.kind === 'write') await writes.write(now.range.offset, Buffer.alloc(now.range.length, value), { fua });
  else if (now.kind === 'zero') await writes.zero(now.range, { fua, hole: now.value % 2 === 0 });
  else await writes.trim(now.range, { fua });
  if (fua) model.flushed();
}

describe('an overlay, and a plain buffer', () => {
  it('hold the same, over restarts and crashes at any moment', async function () {
    this.timeout(60_000);
    const scenario = fc.record({
      steps: fc.array(step, { maxLength: 40 }),
      failures: fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 3 }),
      chances: fc.infiniteStream(fc.boolean()),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ steps, failures, chances }) => {
        const store = new CrashingStore(() => chances.next().value === true);
        await formatOverlay(store, BASE);
        const cuts = [...failures];
        const reopen = async (): Promise<ServedDisk> => new OverlayDisk(baseDisk(), await Overlay.open(store, BASE));
        const nextCut = (): void => {
          store.failAt = store.calls + (cuts.pop() ?? Number.POSITIVE_INFINITY);
        };
        let disk = await reopen();
        const model = await Model.of(disk);
        nextCut();
        for (const now of steps) {
          try {
            await perform(disk, model, now);
            if (now.kind === 'restart') {
              await disk[Symbol.asyncDispose]();
              model.flushed();
              disk = await reopen();
            }
            await model.check(disk);
          } catch (error) {
            if (error !== store.failure && !(error instanceof Error && error.cause === store.failure)) throw error;
            store.crash();
            disk = await reopen();
            await model.checkAfterCrash(disk);
            nextCut();
          }
          if (now.kind !== 'kill') continue;
          store.crash();
          disk = await reopen();
          await model.checkAfterCrash(disk);
          nextCut();
        }
      }),
      { numRuns: 150 },
    );
  });
});
