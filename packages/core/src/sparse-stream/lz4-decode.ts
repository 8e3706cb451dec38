import { ByteQueue } from '../bytes/index.js';
import { ProtocolError } from '../errors/index.js';
import { decodedBlockLength, LZ4_MAX_EXPANSION, type Lz4Blocks } from './lz4-block.js';
import { lz4Blocks } from './lz4-blocks.js';
import {
  decodeBlockSize,
  decodeLz4Header,
  LZ4_MIN_HEADER_LENGTH,
  type Lz4Descriptor,
  lz4HeaderLength,
} from './lz4-descriptor-flags.js';
import { Lz4Output } from './lz4-output.js';
import { Xxh32, xxh32 } from './xxh32.js';

const WORD_LENGTH = 4;
const NO_BYTES = Buffer.alloc(0);

/** What one frame is decoded with. */
export interface Lz4FrameOptions {
  /** File offset of the queue's first byte, for errors. */
  readonly base: number;
  /** The most the frame may decode to. */
  readonly limit: number;
  /** Gets the decoded bytes, from its beginning; at least `limit` bytes. Without it memory is taken block by block. */
  readonly target?: Buffer | undefined;
  /** What decodes blocks, if not {@link lz4Blocks}. */
  readonly blocks?: Lz4Blocks | undefined;
}

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
  readonly #blocks: Lz4Blocks;
  readonly #output: Lz4Output;
  #decoded = 0;
  #ended = false;
  #done = false;

  constructor(queue: ByteQueue, { base, limit, target, blocks = lz4Blocks() }: Lz4FrameOptions) {
    this.#queue = queue;
    this.#base = base;
    this.#start = queue.offset;
    this.#room = limit;
    this.#blocks = blocks;
    this.#output = new Lz4Output(target);
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
   * Yields the blocks that are there, decoded: views of the target, or else valid as long as what was pushed into the queue.
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
    const decoded = compressed
      ? this.#decodeBlock(frame, block, stored.length)
      : this.#storedBlock(frame, block, stored.length);
    this.#room -= decoded.length;
    this.#decoded += decoded.length;
    if (frame.contentChecksum) this.#content.update(decoded);
    return decoded;
  }

  #decodeBlock(frame: Lz4Descriptor, block: Buffer, back: number): Buffer {
    const limit = Math.min(frame.maxBlockLength, this.#room, block.length * LZ4_MAX_EXPANSION);
    const target = this.#output.next(limit, !frame.independent);
    const history = frame.independent ? NO_BYTES : this.#output.history;
    const length = this.#blocks.decompress({ block, target, history });
    if (length !== null) return this.#output.accept(length);
    const wanted = decodedBlockLength(block) ?? 0;
    if (wanted > this.#room) this.#overshoot(wanted, back);
    return this.#fail('VB_SPARSE_LZ4', 'LZ4 block cannot be decoded', back);
  }

  #storedBlock(frame: Lz4Descriptor, block: Buffer, back: number): Buffer {
    if (block.length > this.#room) this.#overshoot(block.length, back);
    return this.#output.store(block, !frame.independent);
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
  ): never {
    throw new ProtocolError(code, message, this.#base + this.#queue.offset - back);
  }
}

/** Where a payload begins in its file, for errors, and what decodes its blocks, if not {@link lz4Blocks}. */
export interface PayloadOptions {
  readonly start?: number | undefined;
  readonly blocks?: Lz4Blocks | undefined;
}

/**
 * Decodes the payload of one DATA frame: one or more whole LZ4 frames that decode to exactly `length` bytes. Nothing
 * beyond `length` is allocated whatever the payload says.
 * @throws ProtocolError VB_SPARSE_LZ4, VB_SPARSE_LZ4_CHECKSUM, VB_SPARSE_LZ4_LENGTH, or VB_SPARSE_TRUNCATED for a frame
 * that ends early
 */
export function decompressFrames(bytes: Buffer, length: number, options: PayloadOptions = {}): Buffer {
  const target = Buffer.allocUnsafe(length);
  decompressFramesInto(bytes, target, options);
  return target;
}

/** As {@link decompressFrames}, straight into `target`, all of which is filled. */
export function decompressFramesInto(bytes: Buffer, target: Buffer, { start = 0, blocks }: PayloadOptions = {}): void {
  const { length } = target;
  const queue = new ByteQueue();
  queue.push(bytes);
  let filled = 0;
  while (queue.length > 0) {
    const rest = target.subarray(filled);
    const decoder = new Lz4FrameDecoder(queue, { base: start, limit: rest.length, target: rest, blocks });
    for (const block of decoder.decode()) filled += block.length;
    if (!decoder.done) throw new ProtocolError('VB_SPARSE_TRUNCATED', 'LZ4 frame ends early', start + bytes.length);
  }
  if (filled !== length) {
    const message = `LZ4 payload decodes to ${filled} bytes, ${length} expected`;
    throw new ProtocolError('VB_SPARSE_LZ4_LENGTH', message, start + bytes.length);
  }
}
