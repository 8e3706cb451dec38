import lz4 from 'lz4-napi';
import { encodeLz4Header, storedBlockSize } from './lz4-descriptor-flags.js';

/** The native block call puts the decoded size in front of its result, 4 bytes; the frame wants the stored size there. */
const SIZE_WORD_LENGTH = 4;
const END_MARK = Buffer.alloc(SIZE_WORD_LENGTH);

/**
 * Compresses into one LZ4 frame: independent blocks of at most 256 KiB, content size in the header, no content checksum
 * (the repository keeps SHA-256). A block that does not shrink is stored as it is. Synchronous: call it in a worker.
 */
export const compressFrame = (bytes: Buffer): Buffer => Buffer.concat([...frameParts(bytes)]);

/**
 * As {@link compressFrame}, to the beginning of `target`: nothing longer than a block is allocated.
 * @returns the frame's length
 * @throws RangeError if `target` is too short
 */
export function compressFrameInto(bytes: Buffer, target: Buffer): number {
  let length = 0;
  for (const part of frameParts(bytes)) {
    if (length + part.length > target.length) throw new RangeError(`LZ4 frame is longer than ${target.length} bytes`);
    part.copy(target, length);
    length += part.length;
  }
  return length;
}

function* frameParts(bytes: Buffer): Generator<Buffer> {
  const { header, maxBlockLength } = encodeLz4Header(bytes.length);
  yield header;
  for (let at = 0; at < bytes.length; at += maxBlockLength) {
    yield* encodeBlock(bytes.subarray(at, at + maxBlockLength));
  }
  yield END_MARK;
}

function encodeBlock(block: Buffer): Buffer[] {
  const sized = lz4.compressSync(block);
  const length = sized.length - SIZE_WORD_LENGTH;
  if (length >= block.length) {
    const word = Buffer.alloc(SIZE_WORD_LENGTH);
    word.writeUInt32LE(storedBlockSize(block.length), 0);
    return [word, block];
  }
  sized.writeUInt32LE(length, 0);
  return [sized];
}
