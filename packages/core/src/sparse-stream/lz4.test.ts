import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { ByteQueue } from '../bytes/index.js';
import { ProtocolError, VBackupError } from '../errors/index.js';
import { LZ4_IMPLEMENTATIONS } from '../testing/lz4-implementations.js';
import { compressorOf, lz4Compressor } from './lz4.js';
import type { Lz4Blocks } from './lz4-block.js';
import { decompressFrames, decompressFramesInto, Lz4FrameDecoder } from './lz4-decode.js';
import { compressFrame, compressFrameInto, maxFrameLength } from './lz4-encode.js';
import { xxh32 } from './xxh32.js';

const KiB = 1024;
const MiB = 1024 * KiB;

for (const [name, implementation] of LZ4_IMPLEMENTATIONS) {
  describe(`LZ4 frames of blocks by ${name}`, () => frameTests(implementation));
}

function frameTests(implementation: (typeof LZ4_IMPLEMENTATIONS)[number][1]): void {
  let blocks: Lz4Blocks;

  before(function () {
    blocks = implementation(this);
  });

  it('give back what was compressed, of any length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 5000 }), fc.integer({ min: 1, max: 40 }), (seed, times) => {
        const bytes = Buffer.concat(Array.from({ length: times }, () => Buffer.from(seed)));
        assert.deepEqual(decompressFrames(compressFrame(bytes, blocks), bytes.length, { blocks }), bytes);
      }),
    );
  });

  const sizes = [1, 65536, 65537, 262145, MiB + 1, 4 * MiB, 4 * MiB + 1, 16 * MiB];
  for (const size of sizes) {
    it(`of ${size} bytes that compress and that do not`, () => {
      for (const bytes of [Buffer.alloc(size, 'vbackup'), randomBytes(size)]) {
        const compressor = compressorOf(() => blocks);
        const frame = compressor.compressFrame(bytes);
        assert.ok(frame.length <= maxFrameLength(size));
        assert.ok(compressor.decompressFrames(frame, size).equals(bytes));
      }
    });
  }

  it('begin with the header of the specification', () => {
    // Magic; version 01, independent blocks, content size; 64 KiB blocks; 5 bytes; a stored block.
    assert.equal(
      compressFrame(Buffer.from('hello'), blocks).toString('hex'),
      ['04224d18', '68', '40', '0500000000000000', '61', '05000080', '68656c6c6f', '00000000'].join(''),
    );
  });

  it('concatenated decode to the sum', () => {
    const [a, b] = [Buffer.alloc(100_000, 'abc'), Buffer.alloc(5, 'z')];
    const frames = Buffer.concat([compressFrame(a, blocks), compressFrame(b, blocks)]);
    assert.ok(decompressFrames(frames, 100_005, { blocks }).equals(Buffer.concat([a, b])));
  });

  it('decode from a queue that fills byte by byte, and take no byte too many', () => {
    const bytes = Buffer.alloc(70_000, 'queue');
    const queue = new ByteQueue();
    const decoder = new Lz4FrameDecoder(queue, { base: 0, limit: bytes.length, blocks });
    const parts: Buffer[] = [];
    const frame = compressFrame(bytes, blocks);
    for (const byte of Buffer.concat([frame, Buffer.from('next')])) {
      queue.push(Buffer.of(byte));
      parts.push(...decoder.decode());
    }
    assert.ok(decoder.done);
    assert.equal(decoder.storedLength, frame.length);
    assert.ok(Buffer.concat(parts).equals(bytes));
    assert.equal(queue.take(4)?.toString(), 'next');
  });

  const sample = Buffer.alloc(1000, 'sample text ');
  const frame = lz4Compressor.compressFrame(sample);
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(frame);
    copy[at] = value;
    return copy;
  };
  const damaged = (at: number, ...values: readonly number[]): Buffer => {
    const copy = Buffer.from(frame);
    copy.set(values, at);
    return copy;
  };
  const faults: readonly (readonly [string, Buffer, number, string, number])[] = [
    ['another magic', changed(0, 5), 1000, 'VB_SPARSE_LZ4', 100],
    ['another version', changed(4, 0x28), 1000, 'VB_SPARSE_LZ4', 104],
    ['an unknown block size', changed(5, 0x30), 1000, 'VB_SPARSE_LZ4', 105],
    ['a wrong header checksum', changed(14, (frame[14] ?? 0) + 1), 1000, 'VB_SPARSE_LZ4', 114],
    ['a block that is too long', changed(17, 0x7f), 1000, 'VB_SPARSE_LZ4', 115],
    ['a block that refers to what was not there', damaged(19, 0x10, 0x41, 0xff, 0xff), 1000, 'VB_SPARSE_LZ4', 119],
    ['a frame that promises more than there is room', frame, 999, 'VB_SPARSE_LZ4_LENGTH', 115],
    ['a frame that is shorter than expected', frame, 1001, 'VB_SPARSE_LZ4_LENGTH', 100 + frame.length],
    ['a frame without its end mark', frame.subarray(0, -4), 1000, 'VB_SPARSE_TRUNCATED', 100 + frame.length - 4],
    ['an empty payload', Buffer.alloc(0), 1000, 'VB_SPARSE_LZ4_LENGTH', 100],
  ];
  for (const [name, bytes, length, code, offset] of faults) {
    it(`refuse ${name}`, () => {
      assert.throws(
        () => decompressFrames(bytes, length, { start: 100, blocks }),
        (error) => {
          assert.ok(error instanceof ProtocolError);
          assert.deepEqual([error.code, error.offset], [code, offset], error.message);
          return true;
        },
      );
    });
  }

  /** The sample as other writers may store it: no content size; the header checksum is that of FLG 0x60 and BD 0x40. */
  const unsized = Buffer.concat([Buffer.from('04224d18604082', 'hex'), frame.subarray(15)]);

  it('decode without a content size', () => {
    assert.ok(decompressFrames(unsized, sample.length, { blocks }).equals(sample));
  });

  it('without a content size cannot decode to more than expected', () => {
    assert.throws(() => decompressFrames(unsized, 999, { start: 100, blocks }), {
      code: 'VB_SPARSE_LZ4_LENGTH',
      offset: 107 + 4,
    });
    assert.throws(() => decompressFrames(unsized, 1, { start: 100, blocks }), { code: 'VB_SPARSE_LZ4_LENGTH' });
  });

  it('a block that expands without end is refused before it is expanded', () => {
    const sized = compressFrame(Buffer.alloc(4 * MiB));
    const bomb = Buffer.concat([Buffer.from('04224d18607073', 'hex'), sized.subarray(15)]);
    const before = process.memoryUsage().external;
    assert.throws(() => decompressFrames(bomb, 1000, { blocks }), { code: 'VB_SPARSE_LZ4_LENGTH' });
    assert.ok(process.memoryUsage().external - before < MiB);
  });

  it('never decode to anything else than an error or the right number of bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(frame.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (flips) => {
          const bytes = Buffer.from(frame);
          for (const [at, value] of flips) bytes[at] = value;
          try {
            assert.equal(decompressFrames(bytes, sample.length, { blocks }).length, sample.length);
          } catch (error) {
            assert.ok(error instanceof VBackupError, String(error));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('are written straight into their target, and not beyond it', () => {
    const bytes = Buffer.concat([randomBytes(300 * KiB), Buffer.alloc(300 * KiB, 'abc')]);
    const frame = compressFrame(bytes, blocks);
    const target = Buffer.from(new SharedArrayBuffer(frame.length));
    assert.equal(compressFrameInto(bytes, target, blocks), frame.length);
    assert.deepEqual(Buffer.from(target), frame);
    for (const length of [0, 3, 14, 15, 17, 19, 100, 300 * KiB, frame.length - 5, frame.length - 1]) {
      assert.throws(() => compressFrameInto(bytes, target.subarray(0, length), blocks), RangeError, `${length}`);
    }
    const decoded = Buffer.from(new SharedArrayBuffer(bytes.length));
    decompressFramesInto(target, decoded, { blocks });
    assert.ok(decoded.equals(bytes));
  });

  it('of linked blocks decode into one target and from a stream alike', () => {
    fc.assert(
      fc.property(fc.array(linkedParts, { minLength: 1, maxLength: 40 }), (parts) => {
        const { frame, bytes } = linkedFrame(parts);
        assert.ok(decompressFrames(frame, bytes.length, { blocks }).equals(bytes));
        const queue = new ByteQueue();
        const decoder = new Lz4FrameDecoder(queue, { base: 0, limit: bytes.length, blocks });
        const decoded: Buffer[] = [];
        for (let at = 0; at < frame.length; at += 9973) {
          queue.push(frame.subarray(at, at + 9973));
          decoded.push(...decoder.decode());
        }
        assert.ok(decoder.done);
        // None was overwritten by those behind it.
        assert.ok(Buffer.concat(decoded).equals(bytes));
      }),
    );
  });
}

/** A block of a linked frame: so many bytes that are stored, or a match so far back (as far as there is something). */
type LinkedPart = { readonly stored: number } | { readonly back: number; readonly length: number };

const linkedParts: fc.Arbitrary<LinkedPart> = fc.oneof(
  fc.record({ stored: fc.integer({ min: 1, max: 64 * KiB }) }),
  fc.record({ back: fc.integer({ min: 1, max: 65535 }), length: fc.integer({ min: 4, max: 60_000 }) }),
);

/** A frame as the peer writes it: blocks of at most 64 KiB that refer to each other, no sizes and no checksums. */
function linkedFrame(parts: readonly LinkedPart[]): { readonly frame: Buffer; readonly bytes: Buffer } {
  const [flg, bd] = [0x40, 0x40];
  const sum = Math.floor(xxh32(Buffer.of(flg, bd)) / 256) % 256;
  const frame: Buffer[] = [Buffer.from([0x04, 0x22, 0x4d, 0x18, flg, bd, sum])];
  // Something to refer to comes first.
  let bytes: Buffer = Buffer.alloc(0);
  for (const part of [{ stored: 100 }, ...parts]) {
    const block: Buffer = 'stored' in part ? randomBytes(part.stored) : linkedBlock(part, bytes.length);
    const word = Buffer.alloc(4);
    word.writeUInt32LE(('stored' in part ? 0x8000_0000 : 0) + block.length);
    frame.push(word, block);
    bytes = Buffer.concat([bytes, 'stored' in part ? block : matchOf(part, bytes)]);
  }
  return { frame: Buffer.concat([...frame, Buffer.alloc(4)]), bytes };
}

const LAST_LITERALS = Buffer.from('last one');

/** No literals, one match, eight literals. */
function linkedBlock({ back, length }: { readonly back: number; readonly length: number }, before: number): Buffer {
  const offset = Math.min(back, before);
  const rest = length - 4 - 15;
  const more = rest < 0 ? [] : [...Array.from({ length: Math.floor(rest / 255) }, () => 255), rest % 255];
  const token = Math.min(15, length - 4);
  return Buffer.concat([Buffer.from([token, offset % 256, Math.floor(offset / 256), ...more, 0x80]), LAST_LITERALS]);
}

function matchOf({ back, length }: { readonly back: number; readonly length: number }, before: Buffer): Buffer {
  const text = before.subarray(before.length - Math.min(back, before.length));
  return Buffer.concat([Buffer.alloc(length, text), LAST_LITERALS]);
}
