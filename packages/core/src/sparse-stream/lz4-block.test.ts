import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { LZ4_IMPLEMENTATIONS } from '../testing/lz4-implementations.js';
import { decodedBlockLength, LZ4_HISTORY_LENGTH, LZ4_MAX_EXPANSION, type Lz4Blocks } from './lz4-block.js';
import { lz4Blocks } from './lz4-blocks.js';
import { systemLz4 } from './lz4-system.js';

const KiB = 1024;
/** What stands before and behind a target, and must stand there afterwards. */
const GUARD = Buffer.alloc(64, 0xa5);
const NONE = Buffer.alloc(0);

/** A target in shared memory between guards, right behind its history. */
class Arena {
  readonly history: Buffer;
  readonly target: Buffer;
  readonly #guards: readonly Buffer[];
  readonly #before: Buffer;

  constructor({ history, length }: { readonly history: Buffer; readonly length: number }) {
    const start = GUARD.length + history.length;
    const memory = Buffer.from(new SharedArrayBuffer(start + length + GUARD.length));
    this.#guards = [memory.subarray(0, GUARD.length), memory.subarray(start + length)];
    for (const guard of this.#guards) GUARD.copy(guard);
    this.history = memory.subarray(GUARD.length, start);
    this.target = memory.subarray(start, start + length);
    this.#before = history;
    history.copy(this.history);
  }

  check(): void {
    for (const guard of this.#guards) assert.ok(guard.equals(GUARD), 'written beyond the target');
    assert.ok(this.history.equals(this.#before), 'the history changed');
  }
}

function decode(blocks: Lz4Blocks, block: Buffer, { length, history = NONE }: { length: number; history?: Buffer }) {
  const arena = new Arena({ history, length });
  const decoded = blocks.decompress({ block, target: arena.target, history: arena.history });
  arena.check();
  return decoded === null ? null : Buffer.from(arena.target.subarray(0, decoded));
}

function compress(blocks: Lz4Blocks, bytes: Buffer, capacity = bytes.length + 1000): Buffer {
  const arena = new Arena({ history: NONE, length: capacity });
  const length = blocks.compress({ bytes, target: arena.target });
  arena.check();
  return Buffer.from(arena.target.subarray(0, length));
}

/** Bytes in which words come again, from any distance back. */
const texts = fc
  .tuple(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.array(fc.nat(1000), { maxLength: 300 }))
  .map(([seed, places]) => {
    const pieces = places.map((place) => Buffer.from(seed).subarray(place % seed.length, (place * 7) % 300));
    return Buffer.concat([Buffer.from(seed), ...pieces]);
  });

const FAULTS: readonly (readonly [string, number[]])[] = [
  ['no byte at all', []],
  ['literals that are not there', [0x50, 1, 2]],
  ['a length that does not end', [0xf0, 255, 255]],
  ['half an offset', [0x10, 65, 1]],
  ['a match and nothing behind it', [0x1f, 65, 1, 0]],
  ['an offset before the beginning', [0x14, 65, 2, 0, 0x80, ...Buffer.from('12345678')]],
];

for (const [name, implementation] of LZ4_IMPLEMENTATIONS) {
  describe(`LZ4 blocks by ${name}`, () => {
    let blocks: Lz4Blocks;

    before(function () {
      blocks = implementation(this);
    });

    it('give back what was compressed, in shared memory, and need no byte more than it is long', () => {
      fc.assert(
        fc.property(texts, (bytes) => {
          const block = compress(blocks, bytes);
          assert.deepEqual(decode(blocks, block, { length: bytes.length }), bytes);
          assert.equal(decodedBlockLength(block), bytes.length);
        }),
      );
    });

    it('are 0 bytes where they do not fit', () => {
      for (const bytes of [randomBytes(256 * KiB), Buffer.alloc(64 * KiB, 'abcdef'), Buffer.of(1)]) {
        const { length } = compress(blocks, bytes);
        assert.equal(compress(blocks, bytes, length).length, length);
        for (const capacity of [0, Math.floor(length / 2), length - 1]) {
          assert.equal(compress(blocks, bytes, capacity).length, 0, `${length} in ${capacity}`);
        }
      }
    });

    it('of zeros decode to 255 times as many bytes at most', () => {
      const zeros = Buffer.alloc(4096 * KiB);
      const block = compress(blocks, zeros);
      assert.ok(decode(blocks, block, { length: zeros.length })?.equals(zeros));
      assert.ok(block.length * LZ4_MAX_EXPANSION >= zeros.length, `${block.length}`);
    });

    it('refer to what was before them, as far as 64 KiB back', () => {
      const history = randomBytes(LZ4_HISTORY_LENGTH);
      // A match of 8 from 65,535 back, which is the second byte; eight literals.
      const block = Buffer.from([0x04, 0xff, 0xff, 0x80, ...Buffer.from('literals')]);
      const expected = Buffer.concat([history.subarray(1, 9), Buffer.from('literals')]);
      assert.deepEqual(decode(blocks, block, { length: 16, history }), expected);
      assert.equal(decode(blocks, block, { length: 16, history: history.subarray(2) }), null);
      // And where it lies elsewhere in memory.
      const target = Buffer.alloc(16);
      assert.equal(blocks.decompress({ block, target, history }), 16);
      assert.deepEqual(target, expected);
    });

    for (const [fault, bytes] of FAULTS) {
      it(`refuse ${fault}`, () => {
        assert.equal(decode(blocks, Buffer.from(bytes), { length: 100 }), null);
        assert.equal(decode(blocks, Buffer.from(bytes), { length: 0 }), null);
      });
    }

    it('with an offset of 0, which does not exist, are refused or taken for zeros: never for what lay in memory', () => {
      for (const length of [4, 8, 18]) {
        const block = Buffer.from([0x10 + length - 4, 65, 0, 0, 0x80, ...Buffer.from('literals')]);
        const target = Buffer.alloc(100, 'secret');
        const decoded = blocks.decompress({ block, target, history: NONE });
        if (decoded === null) continue;
        assert.equal(target.toString('latin1', 0, decoded), `A${'\0'.repeat(length)}literals`);
      }
    });

    it('never write beyond their target, whatever they say', () => {
      const sample = compress(
        blocks,
        Buffer.concat([randomBytes(300), Buffer.alloc(3000, 'sample text '), randomBytes(9)]),
      );
      const changes = fc.array(fc.tuple(fc.nat(sample.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
      fc.assert(
        fc.property(changes, fc.nat(5000), fc.nat(200), (flips, length, before) => {
          const block = Buffer.from(sample);
          for (const [at, value] of flips) block[at] = value;
          const decoded = decode(blocks, block, { length, history: Buffer.alloc(before, 7) });
          if (decoded !== null) assert.equal(decoded.length, decodedBlockLength(block));
        }),
        { numRuns: 2000 },
      );
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(600), (block, length) => {
          decode(blocks, Buffer.from(block), { length });
        }),
        { numRuns: 2000 },
      );
    });
  });
}

describe('LZ4 blocks', () => {
  it('are done by the library of the system where it can be used', () => {
    assert.equal(lz4Blocks().name, systemLz4()?.name ?? 'lz4-napi');
  });

  it('say how long they are, or that their lengths do not fit together', () => {
    assert.equal(decodedBlockLength(Buffer.from([0])), 0);
    assert.equal(decodedBlockLength(Buffer.from([0x1f, 65, 1, 0, 255, 0, 0x10, 66])), 1 + 15 + 255 + 4 + 1);
    for (const bytes of [[], [0x50, 1, 2], [0xf0, 255], [0x10, 65, 1], [0x1f, 65, 1, 0]]) {
      assert.equal(decodedBlockLength(Buffer.from(bytes)), null, String(bytes));
    }
  });
});
