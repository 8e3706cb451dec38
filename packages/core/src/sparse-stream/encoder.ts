import assert from 'node:assert/strict';
import type { Extent } from '../extent/index.js';
import { encodeFrameHeader, FRAME_HEADER_LENGTH, TERMINATOR } from './frame-header.js';
import { encodeDataSize, encodeMeta, MAX_META_LENGTH, type StreamOptions } from './meta.js';
import { NumberList } from './number-list.js';
import { encodeTrailer, MAX_TRAILER_ENTRIES } from './trailer-encode.js';

/**
 * The longest DATA frame that is written. Readers of the peer take a compressed frame below 32 MiB with a plain number
 * in the trailer; beyond that they expect a list of parts.
 */
export const MAX_DATA_FRAME_LENGTH = 16 * 1024 * 1024;

/** LZ4 frame magic as it stands in a file. */
const LZ4_MAGIC_BYTES = Buffer.from([0x04, 0x22, 0x4d, 0x18]);

/** One frame to write: its buffers in order, where its header lies in the file, and how long its payload is there. */
export interface EncodedFrame {
  readonly buffers: readonly Buffer[];
  readonly fileOffset: number;
  readonly storedLength: number;
}

/** The end of the file, and the bytes to write in place afterwards: `dataSize` is known only now. */
export interface EncodedEnd {
  readonly buffers: readonly Buffer[];
  readonly patch: { readonly fileOffset: number; readonly bytes: Buffer };
  /** Length of the whole file. */
  readonly fileLength: number;
  readonly dataSize: number;
}

/**
 * Writes a SparseStream version 2 that every reader of the format takes: DATA frames of at most 16 MiB, each one LZ4
 * frame if compressed, and a trailer of plain numbers. No I/O: each method returns what to append, in order.
 *
 * A full covers 0 to `virtualSize` without gaps; an increment has only DATA frames (the peer skips ZERO frames on
 * restore, so its zeros are data). Wrong order, gaps and wrong lengths are defects of the caller and are asserted.
 * It holds eight bytes per compressed frame, and nothing else.
 */
export class SparseStreamEncoder {
  readonly #options: StreamOptions;
  readonly #sizes: NumberList | undefined;
  #dataSizeOffset = 0;
  #fileOffset = 0;
  #position = 0;
  #dataSize = 0;
  #state: 'new' | 'open' | 'finished' = 'new';

  constructor(options: StreamOptions) {
    assert.ok(Number.isSafeInteger(options.virtualSize) && options.virtualSize >= 0, 'virtualSize');
    this.#options = options;
    this.#sizes = options.compressed === false ? undefined : new NumberList();
  }

  /** Where the next frame will lie: the length of the file so far. */
  get fileOffset(): number {
    return this.#fileOffset;
  }

  /** Bytes of DATA so far, uncompressed. */
  get dataSize(): number {
    return this.#dataSize;
  }

  /** The META frame, once, first. */
  begin(): Buffer {
    assert.equal(this.#state, 'new');
    this.#state = 'open';
    const { json, dataSizeAt } = encodeMeta(this.#options);
    assert.ok(json.length <= MAX_META_LENGTH, `META of ${json.length} bytes`);
    this.#dataSizeOffset = FRAME_HEADER_LENGTH + dataSizeAt;
    const frame = Buffer.concat([encodeFrameHeader({ kind: 'meta', start: 0, length: json.length }), json, TERMINATOR]);
    this.#fileOffset = frame.length;
    return frame;
  }

  /**
   * A DATA frame of `length` bytes of the disk. `stored` is those bytes, or one LZ4 frame of them; it is not copied.
   * @param length - up to {@link MAX_DATA_FRAME_LENGTH}
   */
  data(offset: number, length: number, stored: Buffer): EncodedFrame {
    assert.ok(length <= MAX_DATA_FRAME_LENGTH, `DATA frame of ${length} bytes`);
    this.#advance({ offset, length });
    if (this.#sizes === undefined) assert.equal(stored.length, length);
    else {
      assert.ok(stored.subarray(0, LZ4_MAGIC_BYTES.length).equals(LZ4_MAGIC_BYTES), 'stored is not an LZ4 frame');
      assert.ok(this.#sizes.length < MAX_TRAILER_ENTRIES, 'too many DATA frames');
      this.#sizes.push(stored.length);
    }
    this.#dataSize += length;
    return this.#frame([encodeFrameHeader({ kind: 'data', start: offset, length }), stored, TERMINATOR], stored.length);
  }

  /** A ZERO frame, of any length; in a full only. */
  zero(offset: number, length: number): EncodedFrame {
    assert.ok(!this.#options.incremental, 'an increment holds no ZERO frames');
    this.#advance({ offset, length });
    return this.#frame([encodeFrameHeader({ kind: 'zero', start: offset, length })], 0);
  }

  /** STOP, and the trailer if compressed. */
  finish(): EncodedEnd {
    assert.equal(this.#state, 'open');
    this.#state = 'finished';
    if (!this.#options.incremental) assert.equal(this.#position, this.#options.virtualSize, 'a full has a gap');
    const stop = encodeFrameHeader({ kind: 'stop', start: 0, length: 0 });
    const { buffers } = this.#frame([stop, ...(this.#sizes === undefined ? [] : encodeTrailer(this.#sizes))], 0);
    const patch = { fileOffset: this.#dataSizeOffset, bytes: encodeDataSize(this.#dataSize) };
    return { buffers, patch, fileLength: this.#fileOffset, dataSize: this.#dataSize };
  }

  #advance({ offset, length }: Extent): void {
    const { incremental, virtualSize } = this.#options;
    assert.equal(this.#state, 'open');
    assert.ok(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && length > 0, `${offset} + ${length}`);
    assert.ok(
      incremental ? offset >= this.#position : offset === this.#position,
      `frame at ${offset}, ${this.#position} expected`,
    );
    assert.ok(offset + length <= virtualSize, `frame beyond the disk: ${offset} + ${length}`);
    this.#position = offset + length;
  }

  #frame(buffers: readonly Buffer[], storedLength: number): EncodedFrame {
    const fileOffset = this.#fileOffset;
    for (const buffer of buffers) this.#fileOffset += buffer.length;
    return { buffers, fileOffset, storedLength };
  }
}
