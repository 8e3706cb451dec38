import { copyInto } from '../memory/shared-bytes.js';
import type { Lz4Blocks } from './lz4-block.js';
import { lz4Blocks } from './lz4-blocks.js';
import { encodeLz4Header, storedBlockSize } from './lz4-descriptor-flags.js';

const SIZE_WORD_LENGTH = 4;

/**
 * The longest that a frame of so many bytes can be: nothing compresses, and there is a size word for every block and the end.
 * @param length - of what is compressed
 */
export function maxFrameLength(length: number): number {
  const { header, maxBlockLength } = encodeLz4Header(length);
  return header.length + length + (Math.ceil(length / maxBlockLength) + 1) * SIZE_WORD_LENGTH;
}

/** As {@link compressFrameInto}, into memory of its own. */
export function compressFrame(bytes: Buffer, blocks?: Lz4Blocks): Buffer {
  const target = Buffer.allocUnsafe(maxFrameLength(bytes.length));
  return target.subarray(0, compressFrameInto(bytes, target, blocks));
}

/**
 * Compresses into one LZ4 frame at the beginning of `target`: independent blocks of at most 256 KiB, content size in the header, no
 * content checksum (the repository keeps digests). A block that does not shrink is stored as it is. Synchronous: call it in a worker.
 * @param blocks - what compresses blocks
 * @returns the frame's length
 * @throws RangeError if `target` is shorter than {@link maxFrameLength} and the frame does not fit
 */
export function compressFrameInto(bytes: Buffer, target: Buffer, blocks: Lz4Blocks = lz4Blocks()): number {
  const { header, maxBlockLength } = encodeLz4Header(bytes.length);
  let at = Math.min(header.length, target.length);
  for (let from = 0; from < bytes.length; from += maxBlockLength) {
    at = appendBlock({ bytes: bytes.subarray(from, from + maxBlockLength), target, at, blocks });
  }
  const length = at + SIZE_WORD_LENGTH;
  if (length > target.length) throw tooShort(target);
  header.copy(target);
  target.writeUInt32LE(0, at);
  return length;
}

/** @returns where the next block begins */
function appendBlock(of: {
  readonly bytes: Buffer;
  readonly target: Buffer;
  readonly at: number;
  readonly blocks: Lz4Blocks;
}): number {
  const { bytes, target, blocks } = of;
  const at = of.at + SIZE_WORD_LENGTH;
  if (at > target.length) throw tooShort(target);
  const length = blocks.compress({ bytes, target: target.subarray(at, at + bytes.length - 1) });
  if (length > 0) {
    target.writeUInt32LE(length, of.at);
    return at + length;
  }
  if (at + bytes.length > target.length) throw tooShort(target);
  target.writeUInt32LE(storedBlockSize(bytes.length), of.at);
  return at + copyInto(target, at, bytes);
}

const tooShort = (target: Buffer): RangeError => new RangeError(`LZ4 frame is longer than ${target.length} bytes`);
