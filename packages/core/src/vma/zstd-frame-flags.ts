import { ProtocolError } from '../errors/index.js';

const MAGIC = 0xfd2fb528;
/** The sixteen magics of frames that decoders skip end in 0 to 15. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const MAGIC_LENGTH = 4;
const BLOCK_HEADER_LENGTH = 3;
const CHECKSUM_LENGTH = 4;
const DICTIONARY_ID_LENGTHS = [0, 1, 2, 4];
const CONTENT_SIZE_LENGTHS = [0, 2, 4, 8];
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

/** A piece of one frame. */
export interface ZstdPiece {
  readonly bytes: Buffer;
  /** The frame ends with this piece. */
  readonly last: boolean;
}

type Step = 'magic' | 'skippable-length' | 'skippable' | 'descriptor' | 'header' | 'block' | 'content' | 'checksum';

/** What has a length and no meaning here. */
const PASSED: ReadonlySet<Step> = new Set(['content', 'skippable']);
const SKIPPED: ReadonlySet<Step> = new Set(['skippable-length', 'skippable']);

/**
 * Finds where the frames of a zstd stream end, without decompressing them: Node's decompressor stops without a word at the
 * end of the first, and pzstd and concatenated files have many. See RFC 8878, 3.1.
 *
 *     magic | descriptor, 1 byte | rest of the header | blocks: 3 bytes (last, type, length) and content | checksum
 */
export class ZstdFrames {
  #step: Step = 'magic';
  /** Bytes that the step under way still needs; never 0. */
  #left = MAGIC_LENGTH;
  /** What came of the field under way. */
  #field = Buffer.alloc(0);
  #offset = 0;
  #checksum = false;
  #lastBlock = false;

  /**
   * @returns views of the chunk, as long as possible; frames to be skipped are left out
   * @throws ProtocolError VB_VMA_COMPRESSION
   */
  *push(chunk: Buffer): Generator<ZstdPiece> {
    let start = 0;
    let at = 0;
    while (at < chunk.length) {
      const step = this.#step;
      const bytes = chunk.subarray(at, at + this.#left);
      at += bytes.length;
      this.#offset += bytes.length;
      this.#left -= bytes.length;
      if (!PASSED.has(step)) this.#field = Buffer.concat([this.#field, bytes]);
      if (this.#left > 0) break;
      const field = this.#field;
      this.#field = Buffer.alloc(0);
      this.#leave(field);
      if (step === 'magic') {
        // Some of it may have come with an earlier chunk, when it was not yet known what it begins.
        if (this.#step === 'descriptor') yield { bytes: field, last: false };
        start = at;
      } else if (this.#step === 'magic') {
        if (!SKIPPED.has(step)) yield { bytes: chunk.subarray(start, at), last: true };
        start = at;
      }
    }
    const open = this.#step !== 'magic' && !SKIPPED.has(this.#step);
    if (open && start < at) yield { bytes: chunk.subarray(start, at), last: false };
  }

  /** @throws ProtocolError VB_VMA_COMPRESSION if a frame is not complete */
  end(): void {
    if (this.#step === 'magic' && this.#field.length === 0) return;
    throw new ProtocolError('VB_VMA_COMPRESSION', 'zstd stream ends inside of a frame', this.#offset);
  }

  #enter(step: Step, length: number): void {
    this.#step = step;
    this.#left = length;
  }

  #leave(bytes: Buffer): void {
    switch (this.#step) {
      case 'magic':
        return this.#leaveMagic(bytes.readUInt32LE());
      case 'skippable-length': {
        const length = bytes.readUInt32LE();
        return length > 0 ? this.#enter('skippable', length) : this.#enter('magic', MAGIC_LENGTH);
      }
      case 'descriptor':
        return this.#leaveDescriptor(bytes.readUInt8());
      case 'header':
        return this.#enter('block', BLOCK_HEADER_LENGTH);
      case 'block':
        return this.#leaveBlock(bytes.readUIntLE(0, BLOCK_HEADER_LENGTH));
      case 'content':
        return this.#leaveContent();
      case 'skippable':
      case 'checksum':
        return this.#enter('magic', MAGIC_LENGTH);
    }
  }

  #leaveMagic(magic: number): void {
    if (magic === MAGIC) return this.#enter('descriptor', 1);
    if (magic - (magic & 15) === SKIPPABLE_MAGIC) return this.#enter('skippable-length', 4);
    const at = this.#offset - MAGIC_LENGTH;
    throw new ProtocolError('VB_VMA_COMPRESSION', 'no zstd frame where one should begin', at);
  }

  #leaveDescriptor(descriptor: number): void {
    const sizeFlag = descriptor >>> 6;
    const single = ((descriptor >>> 5) & 1) === 1;
    this.#checksum = ((descriptor >>> 2) & 1) === 1;
    const dictionaryId = DICTIONARY_ID_LENGTHS[descriptor & 3] ?? 0;
    const contentSize = sizeFlag === 0 && single ? 1 : (CONTENT_SIZE_LENGTHS[sizeFlag] ?? 0);
    // Without the flag a window descriptor of one byte comes first: this is never 0.
    this.#enter('header', (single ? 0 : 1) + dictionaryId + contentSize);
  }

  #leaveBlock(header: number): void {
    this.#lastBlock = (header & 1) === 1;
    const type = (header >>> 1) & 3;
    const length = header >>> 3;
    if (type === BLOCK_RESERVED) {
      throw new ProtocolError('VB_VMA_COMPRESSION', 'zstd block of the reserved type', this.#offset);
    }
    const stored = type === BLOCK_RLE ? 1 : length;
    return stored > 0 ? this.#enter('content', stored) : this.#leaveContent();
  }

  #leaveContent(): void {
    if (!this.#lastBlock) this.#enter('block', BLOCK_HEADER_LENGTH);
    else if (this.#checksum) this.#enter('checksum', CHECKSUM_LENGTH);
    else this.#enter('magic', MAGIC_LENGTH);
  }
}
