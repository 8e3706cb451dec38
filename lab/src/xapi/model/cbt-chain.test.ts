import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BlockMap } from './block-map.js';
import { CbtChain } from './cbt-chain.js';
import { CBT_BLOCK_LENGTH } from './cbt-log-bitmap.js';

const LIVE = 'live';
/** Not a whole number of blocks, nor of bytes of the bitmap. */
const SIZE = 11 * CBT_BLOCK_LENGTH + 512;

describe('CbtChain', () => {
  it('shows the bitmap as the real cbt-util and SM do, most significant bit first', () => {
    const cbt = new CbtChain();
    cbt.enable(LIVE, 10 * 2 ** 20);
    cbt.snapshot(LIVE, 'a');
    for (const block of [0, 1, 9, 70, 159]) cbt.mark(LIVE, block * CBT_BLOCK_LENGTH, 1);
    cbt.snapshot(LIVE, 'b');
    assert.equal(cbt.changedSince('a', 'b').toString('base64'), 'wEAAAAAAAAACAAAAAAAAAAAAAAE=');
  });

  it('equals a naive record of what was written between two snapshots, whatever was destroyed between them', () => {
    fc.assert(
      fc.property(fc.array(operation(), { maxLength: 40 }), (operations) => {
        const world = new World();
        for (const step of operations) world.apply(step);
        world.check();
      }),
    );
  });

  it('does not mark what a disk grew by', () => {
    const cbt = new CbtChain();
    cbt.enable(LIVE, 8 * CBT_BLOCK_LENGTH);
    cbt.snapshot(LIVE, 'a');
    cbt.mark(LIVE, 0, 1);
    cbt.snapshot(LIVE, 'b');
    cbt.grow(LIVE, 24 * CBT_BLOCK_LENGTH);
    cbt.mark(LIVE, 23 * CBT_BLOCK_LENGTH, 1);
    cbt.snapshot(LIVE, 'c');
    assert.deepEqual(cbt.changedSince('a', 'b'), Buffer.from([0x80]));
    assert.deepEqual(cbt.changedSince('a', 'c'), Buffer.from([0x80, 0, 0x01]));
  });

  it('refuses what is not related: the same disk, the wrong direction, a lost log, an ended chain', () => {
    const cbt = new CbtChain();
    cbt.enable(LIVE, SIZE);
    cbt.snapshot(LIVE, 'a');
    cbt.snapshot(LIVE, 'b');
    const refused = { message: 'SR_BACKEND_FAILURE_460' };
    for (const [from, to] of [
      ['a', 'a'],
      ['b', 'a'],
      ['a', 'nobody'],
      ['nobody', 'b'],
    ] as const) {
      assert.throws(() => cbt.changedSince(from, to), refused);
    }
    cbt.drop(LIVE);
    cbt.enable(LIVE, SIZE);
    cbt.snapshot(LIVE, 'c');
    assert.equal(cbt.changedSince('a', 'b').length, 2);
    assert.throws(() => cbt.changedSince('b', 'c'), refused);
  });
});

type Step =
  | { readonly kind: 'write'; readonly offset: number; readonly length: number; readonly fill: number }
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'destroy'; readonly which: number };

function operation(): fc.Arbitrary<Step> {
  return fc.oneof(
    fc.record({
      kind: fc.constant('write' as const),
      offset: fc.integer({ min: 0, max: SIZE - 1 }),
      length: fc.integer({ min: 1, max: 3 * CBT_BLOCK_LENGTH }),
      fill: fc.integer({ min: 0, max: 2 }),
    }),
    fc.constant({ kind: 'snapshot' as const }),
    fc.record({ kind: fc.constant('destroy' as const), which: fc.nat(9) }),
  );
}

/** The chain beside a record that forgets nothing: per snapshot, its content and how many writes came before it. */
class World {
  readonly #cbt = new CbtChain();
  readonly #disk = new BlockMap(SIZE);
  readonly #writes: { readonly first: number; readonly last: number }[] = [];
  readonly #snapshots: { readonly name: string; readonly content: BlockMap; readonly writes: number }[] = [];
  #names = 0;

  constructor() {
    this.#cbt.enable(LIVE, SIZE);
  }

  apply(step: Step): void {
    if (step.kind === 'write') this.#write(step.offset, Math.min(step.length, SIZE - step.offset), step.fill);
    else if (step.kind === 'snapshot') this.#snapshot();
    else {
      const [gone] = this.#snapshots.splice(step.which, 1);
      if (gone !== undefined) this.#cbt.destroy(gone.name);
    }
  }

  check(): void {
    for (const [at, from] of this.#snapshots.entries()) {
      for (const to of this.#snapshots.slice(at + 1)) {
        const changed = blocksOf(this.#cbt.changedSince(from.name, to.name));
        const written = new Set<number>();
        for (const { first, last } of this.#writes.slice(from.writes, to.writes)) {
          for (let block = first; block <= last; block++) written.add(block);
        }
        assert.deepEqual(changed, written);
        for (const block of differing(from.content, to.content)) assert.ok(changed.has(block));
      }
    }
  }

  #write(offset: number, length: number, fill: number): void {
    this.#disk.write(offset, Buffer.alloc(length, fill));
    this.#cbt.mark(LIVE, offset, length);
    this.#writes.push({
      first: Math.floor(offset / CBT_BLOCK_LENGTH),
      last: Math.floor((offset + length - 1) / CBT_BLOCK_LENGTH),
    });
  }

  #snapshot(): void {
    this.#names += 1;
    const name = `snapshot ${this.#names}`;
    this.#cbt.snapshot(LIVE, name);
    this.#snapshots.push({ name, content: this.#disk.snapshot(), writes: this.#writes.length });
  }
}

function blocksOf(bitmap: Buffer): Set<number> {
  const digits = [...bitmap].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return new Set(digits.split('').flatMap((digit, block) => (digit === '1' ? [block] : [])));
}

function differing(left: BlockMap, right: BlockMap): number[] {
  const [a, b] = [Buffer.alloc(CBT_BLOCK_LENGTH), Buffer.alloc(CBT_BLOCK_LENGTH)];
  return Array.from({ length: Math.ceil(SIZE / CBT_BLOCK_LENGTH) }, (_, block) => block).filter((block) => {
    const length = Math.min(CBT_BLOCK_LENGTH, SIZE - block * CBT_BLOCK_LENGTH);
    left.read(block * CBT_BLOCK_LENGTH, a.subarray(0, length));
    right.read(block * CBT_BLOCK_LENGTH, b.subarray(0, length));
    return !a.subarray(0, length).equals(b.subarray(0, length));
  });
}
