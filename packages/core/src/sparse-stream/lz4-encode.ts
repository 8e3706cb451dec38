import lz4 from 'lz4-napi';
import { encodeLz4Header, storedBlockSize } from './lz4-descriptor-flags.js';

/** The native block call puts the decoded size in front of its result, 4 bytes; the frame wants the stored size there. */
const SIZE_WORD_LENGTH = 4;
const END_MARK = Buffer.alloc(SIZE_WORD_LENGTH);

/**
 * Compresses into one LZ4 frame: independent blocks of at most 4 MiB, content size in the header, no content checksum
 * (the repository keeps SHA-256). A block that does not shrink is stored as it is. Synchronous: call it in a worker.
 */
export function compressFrame(bytes: Buffer): Buffer {
  const { header, maxBlockLength } = encodeLz4Header(bytes.length);
  const parts: Buffer[] = [header];
  for (let at = 0; at < bytes.length; at += maxBlockLength) {
    parts.push(...encodeBlock(bytes.subarray(at, at + maxBlockLength)));
  }
  parts.push(END_MARK);
  return Buffer.concat(parts);
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
