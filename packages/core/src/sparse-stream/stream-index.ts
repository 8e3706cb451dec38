import { ProtocolError } from '../errors/index.js';
import { type Extent, endOf } from '../extent/index.js';
import { FRAME_HEADER_LENGTH } from './frame-header.js';
import type { StreamMeta } from './meta.js';
import { NumberList } from './number-list.js';

/** More frames than this in one file are refused: 512 MiB of index, or a disk of 1 TiB with a hole every 128 KiB. */
export const MAX_INDEX_FRAMES = 2 ** 24;

/** One frame of a file that is read at random. */
export interface IndexFrame extends Extent {
  readonly kind: 'data' | 'zero';
  /** Where its header lies. */
  readonly fileOffset: number;
  /** Where its payload lies, and how long that is; 0 bytes under a ZERO frame. */
  readonly payloadOffset: number;
  readonly storedLength: number;
}

/** Which frame holds which part of the disk, ascending; 32 bytes per frame. */
export class SparseStreamIndex {
  readonly meta: StreamMeta;
  readonly #offsets = new NumberList();
  readonly #lengths = new NumberList();
  readonly #fileOffsets = new NumberList();
  readonly #storedLengths = new NumberList();

  constructor(meta: StreamMeta) {
    this.meta = meta;
  }

  get length(): number {
    return this.#offsets.length;
  }

  /**
   * Frames come in ascending order.
   * @throws ProtocolError VB_SPARSE_LIMIT beyond {@link MAX_INDEX_FRAMES}
   */
  add(frame: Pick<IndexFrame, 'offset' | 'length' | 'fileOffset' | 'storedLength'>): void {
    if (this.length >= MAX_INDEX_FRAMES) {
      throw new ProtocolError('VB_SPARSE_LIMIT', `more than ${MAX_INDEX_FRAMES} frames in one file`, frame.fileOffset);
    }
    this.#offsets.push(frame.offset);
    this.#lengths.push(frame.length);
    this.#fileOffsets.push(frame.fileOffset);
    this.#storedLengths.push(frame.storedLength);
  }

  at(index: number): IndexFrame | undefined {
    const offset = this.#offsets.at(index);
    const length = this.#lengths.at(index);
    const fileOffset = this.#fileOffsets.at(index);
    const storedLength = this.#storedLengths.at(index);
    if (offset === undefined || length === undefined || fileOffset === undefined || storedLength === undefined)
      return undefined;
    const payloadOffset = fileOffset + FRAME_HEADER_LENGTH;
    return { kind: storedLength === 0 ? 'zero' : 'data', offset, length, fileOffset, payloadOffset, storedLength };
  }

  /** The frames that touch `range` (default: the disk), ascending. */
  *frames(range: Extent = { offset: 0, length: this.meta.virtualSize }): Generator<IndexFrame> {
    const end = endOf(range);
    for (let index = this.#firstBehind(range.offset); ; index += 1) {
      const frame = this.at(index);
      if (frame === undefined || frame.offset >= end) return;
      yield frame;
    }
  }

  /** Index of the first frame that ends behind `offset`. */
  #firstBehind(offset: number): number {
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const end = (this.#offsets.at(middle) ?? 0) + (this.#lengths.at(middle) ?? 0);
      if (end > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
