import lz4 from 'lz4-napi';
import { ByteQueue } from '../bytes/index.js';
import { ProtocolError } from '../errors/index.js';
import {
  decodeBlockSize,
  decodeLz4Header,
  LZ4_MIN_HEADER_LENGTH,
  type Lz4Descriptor,
  lz4HeaderLength,
} from './lz4-descriptor-flags.js';
import { Xxh32, xxh32 } from './xxh32.js';

/** How far back a linked block may refer (`lz4_Block_format.md`, "offset"). */
const HISTORY_LENGTH = 65536;
const WORD_LENGTH = 4;

/** Where a block gets its size in front; as long as the longest block so far. */
let scratch = Buffer.alloc(0);

/**
 * Decodes one LZ4 frame out of a queue that fills in pieces: independent or linked blocks, with or without checksums,
 * which are verified. It takes exactly the frame, and needs one block of at most 4 MiB in the queue.
 */
export class Lz4FrameDecoder {
  readonly #queue: ByteQueue;
  readonly #base: number;
  readonly #start: number;
  /** Bytes that the frame may still decode to. */
  #room: number;
  #frame: Lz4Descriptor | undefined;
  #head: Buffer | undefined;
  #block: { readonly length: number; readonly compressed: boolean } | undefined;
  readonly #content = new Xxh32();
  #decoded = 0;
  #history = Buffer.alloc(0);
  #ended = false;
  #done = false;

  /**
   * @param base - file offset of the queue's first byte, for errors
   * @param limit - the most the frame may decode to
   */
  constructor(queue: ByteQueue, { base, limit }: { readonly base: number; readonly limit: number }) {
    this.#queue = queue;
    this.#base = base;
    this.#start = queue.offset;
    this.#room = limit;
  }

  get done(): boolean {
    return this.#done;
  }

  /** Stored bytes consumed so far; the length of the frame once it is done. */
  get storedLength(): number {
    return this.#queue.offset - this.#start;
  }

  /** Decoded bytes so far. */
  get decodedLength(): number {
    return this.#decoded;
  }

  /**
   * Yields the blocks that are there, decoded; valid as long as what was pushed into the queue.
   * @throws ProtocolError VB_SPARSE_LZ4 for a frame that breaks the format, VB_SPARSE_LZ4_CHECKSUM for one whose
   * content does not match its checksum, VB_SPARSE_LZ4_LENGTH for one that decodes to more than the limit
   */
  *decode(): Generator<Buffer> {
    while (!this.#done) {
      const before = this.#queue.offset;
      const frame = this.#frame ?? this.#readHeader();
      if (frame === undefined) return;
      const decoded = this.#ended ? this.#readContentChecksum() : this.#readBlock(frame);
      if (decoded !== undefined) yield decoded;
      else if (this.#queue.offset === before && !this.#done) return;
    }
  }

  #readHeader(): Lz4Descriptor | undefined {
    this.#head ??= this.#queue.take(LZ4_MIN_HEADER_LENGTH);
    if (this.#head === undefined) return undefined;
    const rest = this.#queue.take(lz4HeaderLength(this.#head) - LZ4_MIN_HEADER_LENGTH);
    if (rest === undefined) return undefined;
    const frame = decodeLz4Header(Buffer.concat([this.#head, rest]), this.#base + this.#start);
    if (frame.contentSize !== undefined && frame.contentSize > this.#room) this.#overshoot(frame.contentSize);
    this.#frame = frame;
    return frame;
  }

  /** One step: the size word, or the block behind it. */
  #readBlock(frame: Lz4Descriptor): Buffer | undefined {
    if (this.#block === undefined) {
      const word = this.#queue.take(WORD_LENGTH);
      if (word === undefined) return undefined;
      this.#block = decodeBlockSize(word.readUInt32LE(0));
      if (this.#block.length > frame.maxBlockLength) {
        this.#fail(
          'VB_SPARSE_LZ4',
          `block of ${this.#block.length} bytes, ${frame.maxBlockLength} allowed`,
          WORD_LENGTH,
        );
      }
      if (this.#block.length === 0) this.#endBlocks(frame);
      return undefined;
    }
    const { length, compressed } = this.#block;
    const stored = this.#queue.take(length + (frame.blockChecksum ? WORD_LENGTH : 0));
    if (stored === undefined) return undefined;
    const block = stored.subarray(0, length);
    if (frame.blockChecksum && stored.readUInt32LE(length) !== xxh32(block)) {
      this.#fail('VB_SPARSE_LZ4_CHECKSUM', 'checksum of an LZ4 block does not match', stored.length);
    }
    this.#block = undefined;
    return this.#account(frame, compressed ? this.#decodeBlock(frame, block, stored.length) : block, stored.length);
  }

  #decodeBlock(frame: Lz4Descriptor, block: Buffer, back: number): Buffer {
    // The native call wants the decoded size in front and takes it as the limit: a block cannot make it allocate more.
    const limit = Math.min(frame.maxBlockLength, this.#room + 1);
    const sized = sizedBlock(limit, block);
    try {
      return lz4.uncompressSync(sized, frame.independent ? null : this.#history);
    } catch (cause) {
      if (limit > this.#room && String(cause).includes('too small')) this.#overshoot(limit);
      return this.#fail('VB_SPARSE_LZ4', 'LZ4 block cannot be decoded', back, cause);
    }
  }

  #account(frame: Lz4Descriptor, decoded: Buffer, back: number): Buffer {
    if (decoded.length > this.#room) this.#overshoot(decoded.length, back);
    this.#room -= decoded.length;
    this.#decoded += decoded.length;
    if (frame.contentChecksum) this.#content.update(decoded);
    if (!frame.independent) {
      // A copy: the yielded block may be a view of the caller's chunk.
      this.#history = Buffer.concat([
        this.#lastHistory(HISTORY_LENGTH - decoded.length),
        decoded.subarray(-HISTORY_LENGTH),
      ]);
    }
    return decoded;
  }

  #lastHistory(length: number): Buffer {
    return this.#history.subarray(Math.max(0, this.#history.length - Math.max(0, length)));
  }

  #endBlocks(frame: Lz4Descriptor): void {
    if (frame.contentSize !== undefined && frame.contentSize !== this.#decoded) {
      this.#fail(
        'VB_SPARSE_LZ4_LENGTH',
        `LZ4 frame of ${this.#decoded} bytes promised ${frame.contentSize}`,
        WORD_LENGTH,
      );
    }
    this.#ended = true;
    this.#done = !frame.contentChecksum;
  }

  #readContentChecksum(): undefined {
    const word = this.#queue.take(WORD_LENGTH);
    if (word === undefined) return;
    if (word.readUInt32LE(0) !== this.#content.digest()) {
      this.#fail('VB_SPARSE_LZ4_CHECKSUM', 'checksum of an LZ4 frame does not match', WORD_LENGTH);
    }
    this.#done = true;
  }

  #overshoot(length: number, back = 0): never {
    return this.#fail(
      'VB_SPARSE_LZ4_LENGTH',
      `LZ4 frame decodes to ${this.#decoded + length} bytes or more, ${this.#decoded + this.#room} expected`,
      back,
    );
  }

  /** @param back - how many bytes before the read position the fault begins */
  #fail(
    code: 'VB_SPARSE_LZ4' | 'VB_SPARSE_LZ4_CHECKSUM' | 'VB_SPARSE_LZ4_LENGTH',
    message: string,
    back: number,
    cause?: unknown,
  ): never {
    throw new ProtocolError(code, message, this.#base + this.#queue.offset - back, { cause });
  }
}

/**
 * Decodes the payload of one DATA frame: one or more whole LZ4 frames that decode to exactly `length` bytes. Nothing
 * beyond `length` is allocated whatever the payload says.
 * @param start - where the payload begins in the file, for errors
 * @throws ProtocolError VB_SPARSE_LZ4, VB_SPARSE_LZ4_CHECKSUM, VB_SPARSE_LZ4_LENGTH, or VB_SPARSE_TRUNCATED for a frame
 * that ends early
 */
export function decompressFrames(bytes: Buffer, length: number, start = 0): Buffer {
  const target = Buffer.allocUnsafe(length);
  decompressFramesInto(bytes, target, start);
  return target;
}

/** As {@link decompressFrames}, to fill `target`: nothing longer than a block is allocated. */
export function decompressFramesInto(bytes: Buffer, target: Buffer, start = 0): void {
  const { length } = target;
  const queue = new ByteQueue();
  queue.push(bytes);
  let filled = 0;
  while (queue.length > 0) {
    const decoder = new Lz4FrameDecoder(queue, { base: start, limit: length - filled });
    for (const block of decoder.decode()) filled += block.copy(target, filled);
    if (!decoder.done) throw new ProtocolError('VB_SPARSE_TRUNCATED', 'LZ4 frame ends early', start + bytes.length);
  }
  if (filled !== length) {
    const message = `LZ4 payload decodes to ${filled} bytes, ${length} expected`;
    throw new ProtocolError('VB_SPARSE_LZ4_LENGTH', message, start + bytes.length);
  }
}

/** A block as the native call wants it; good until the next one, since the call is over by then. */
function sizedBlock(size: number, block: Buffer): Buffer {
  const length = WORD_LENGTH + block.length;
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length);
  scratch.writeUInt32LE(size, 0);
  block.copy(scratch, WORD_LENGTH);
  return scratch.subarray(0, length);
}
