import { readvSync } from 'node:fs';
import { VBackupError } from '../../errors/index.js';
import { encodeFrameHeader, FRAME_HEADER_LENGTH, TERMINATOR } from '../../sparse-stream/frame-header.js';
import { lz4Compressor } from '../../sparse-stream/lz4.js';

/** A DATA frame in an open file, and what its header must say. */
export interface StoredFrame {
  /** The file's descriptor; it stays open until the work is done. */
  readonly file: number;
  /** Where the payload begins in the file, and its length there. */
  readonly fileOffset: number;
  readonly storedLength: number;
  /** Where the frame lies on the disk. */
  readonly offset: number;
  readonly compressed: boolean;
}

/** A frame as it lies in its file; as long as the longest so far. */
let scratch = Buffer.alloc(0);

/**
 * Reads a frame from its file, here, where it is decoded: it comes through no other thread's memory.
 * @param output - for the disk's bytes, exactly the frame's length
 * @throws VBackupError VB_FRAME_DAMAGED; ProtocolError of the LZ4 decoder; the system's own errors
 */
export function readStoredFrame(frame: StoredFrame, output: Buffer): void {
  const { fileOffset, storedLength, compressed } = frame;
  if (!compressed && storedLength !== output.length) throw damaged(`payload of ${storedLength} bytes`);
  const length = FRAME_HEADER_LENGTH + storedLength + TERMINATOR.length;
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length);
  const header = scratch.subarray(0, FRAME_HEADER_LENGTH);
  const payload = compressed ? scratch.subarray(FRAME_HEADER_LENGTH, FRAME_HEADER_LENGTH + storedLength) : output;
  const end = scratch.subarray(length - TERMINATOR.length, length);
  fill(
    frame.file,
    compressed ? [scratch.subarray(0, length)] : [header, payload, end],
    fileOffset - FRAME_HEADER_LENGTH,
  );
  if (!header.equals(encodeFrameHeader({ kind: 'data', start: frame.offset, length: output.length }))) {
    throw damaged('frame header differs from the index');
  }
  if (!end.equals(TERMINATOR)) throw damaged('frame does not end with a line end');
  if (compressed) lz4Compressor.decompressFramesInto(payload, output, fileOffset);
}

function fill(file: number, parts: readonly Buffer[], position: number): void {
  let left = [...parts];
  let at = Math.max(0, position);
  while (left.length > 0) {
    const count = readvSync(file, left, at);
    if (count === 0) throw damaged('the file ends before');
    at += count;
    left = behind(left, count);
  }
}

/** What is left of `parts` behind their first `count` bytes. */
function behind(parts: readonly Buffer[], count: number): Buffer[] {
  const left: Buffer[] = [];
  let skip = count;
  for (const part of parts) {
    if (skip < part.length) left.push(part.subarray(skip));
    skip = Math.max(0, skip - part.length);
  }
  return left;
}

const damaged = (detail: string): VBackupError => new VBackupError('VB_FRAME_DAMAGED', detail);
