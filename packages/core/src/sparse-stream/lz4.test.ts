import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { ByteQueue } from '../bytes/index.js';
import { ProtocolError, VBackupError } from '../errors/index.js';
import { lz4Compressor } from './lz4.js';
import { decompressFrames, Lz4FrameDecoder } from './lz4-decode.js';
import { compressFrame } from './lz4-encode.js';

const MiB = 1024 * 1024;

describe('LZ4 frames', () => {
  it('give back what was compressed, of any length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 5000 }), fc.integer({ min: 1, max: 40 }), (seed, times) => {
        const bytes = Buffer.concat(Array.from({ length: times }, () => Buffer.from(seed)));
        assert.deepEqual(decompressFrames(compressFrame(bytes), bytes.length), bytes);
      }),
    );
  });

  const sizes = [1, 65536, 65537, 262145, MiB + 1, 4 * MiB, 4 * MiB + 1, 16 * MiB];
  for (const size of sizes) {
    it(`of ${size} bytes that compress and that do not`, () => {
      for (const bytes of [Buffer.alloc(size, 'vbackup'), randomBytes(size)]) {
        const frame = lz4Compressor.compressFrame(bytes);
        assert.ok(frame.length <= size + 15 + 4 + 4 * Math.ceil(size / (256 * 1024)) || frame.length < size);
        assert.ok(lz4Compressor.decompressFrames(frame, size).equals(bytes));
      }
    });
  }

  it('begin with the header of the specification', () => {
    // Magic; version 01, independent blocks, content size; 64 KiB blocks; 5 bytes; a stored block.
    assert.equal(
      compressFrame(Buffer.from('hello')).toString('hex'),
      ['04224d18', '68', '40', '0500000000000000', '61', '05000080', '68656c6c6f', '00000000'].join(''),
    );
  });

  it('concatenated decode to the sum', () => {
    const [a, b] = [Buffer.alloc(100_000, 'abc'), Buffer.alloc(5, 'z')];
    const frames = Buffer.concat([compressFrame(a), compressFrame(b)]);
    assert.ok(decompressFrames(frames, 100_005).equals(Buffer.concat([a, b])));
  });

  it('decode from a queue that fills byte by byte, and take no byte too many', () => {
    const bytes = Buffer.alloc(70_000, 'queue');
    const queue = new ByteQueue();
    const decoder = new Lz4FrameDecoder(queue, { base: 0, limit: bytes.length });
    const parts: Buffer[] = [];
    const frame = compressFrame(bytes);
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
  const frame = compressFrame(sample);
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(frame);
    copy[at] = value;
    return copy;
  };
  const faults: readonly (readonly [string, Buffer, number, string, number])[] = [
    ['another magic', changed(0, 5), 1000, 'VB_SPARSE_LZ4', 100],
    ['another version', changed(4, 0x28), 1000, 'VB_SPARSE_LZ4', 104],
    ['an unknown block size', changed(5, 0x30), 1000, 'VB_SPARSE_LZ4', 105],
    ['a wrong header checksum', changed(14, (frame[14] ?? 0) + 1), 1000, 'VB_SPARSE_LZ4', 114],
    ['a block that is too long', changed(17, 0x7f), 1000, 'VB_SPARSE_LZ4', 115],
    ['a frame that promises more than there is room', frame, 999, 'VB_SPARSE_LZ4_LENGTH', 115],
    ['a frame that is shorter than expected', frame, 1001, 'VB_SPARSE_LZ4_LENGTH', 100 + frame.length],
    ['a frame without its end mark', frame.subarray(0, -4), 1000, 'VB_SPARSE_TRUNCATED', 100 + frame.length - 4],
    ['an empty payload', Buffer.alloc(0), 1000, 'VB_SPARSE_LZ4_LENGTH', 100],
  ];
  for (const [name, bytes, length, code, offset] of faults) {
    it(`refuse ${name}`, () => {
      assert.throws(
        () => decompressFrames(bytes, length, 100),
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
    assert.ok(decompressFrames(unsized, sample.length).equals(sample));
  });

  it('without a content size cannot decode to more than expected', () => {
    assert.throws(() => decompressFrames(unsized, 999, 100), { code: 'VB_SPARSE_LZ4_LENGTH', offset: 107 + 4 });
    assert.throws(() => decompressFrames(unsized, 1, 100), { code: 'VB_SPARSE_LZ4_LENGTH' });
  });

  it('a block that expands without end is refused before it is expanded', () => {
    const sized = compressFrame(Buffer.alloc(4 * MiB));
    const bomb = Buffer.concat([Buffer.from('04224d18607073', 'hex'), sized.subarray(15)]);
    const before = process.memoryUsage().external;
    assert.throws(() => decompressFrames(bomb, 1000), { code: 'VB_SPARSE_LZ4_LENGTH' });
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
            assert.equal(decompressFrames(bytes, sample.length).length, sample.length);
          } catch (error) {
            assert.ok(error instanceof VBackupError, String(error));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
