import { ProtocolError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';

// struct fiemap, linux/fiemap.h, in the order of bytes of the machine; those that loadLibc knows are little-endian:
//    0 u64 fm_start            8 u64 fm_length         16 u32 fm_flags
//   20 u32 fm_mapped_extents  24 u32 fm_extent_count   28 u32 reserved
// and from 32 on fm_extent_count times struct fiemap_extent:
//    0 u64 fe_logical          8 u64 fe_physical       16 u64 fe_length   24 u64[2] reserved
//   40 u32 fe_flags           44 u32[3] reserved
const HEADER_LENGTH = 32;
const EXTENT_LENGTH = 56;

/** 4680 extents in 256 KiB: more per call gains little, and a call takes some milliseconds. */
export const FIEMAP_BUFFER_LENGTH = 256 * 1024;

export interface FiemapRequest extends Extent {
  /** FIEMAP_FLAG_* */
  readonly flags: number;
}

/** One extent as the kernel gives it; it may begin before the range that was asked for, and end behind the file. */
export interface FiemapExtent extends Extent {
  readonly physical: number;
  /** FIEMAP_EXTENT_* */
  readonly flags: number;
}

/** How many extents an answer in a buffer of this length can have. */
export const fiemapCapacity = (length: number): number =>
  Math.max(0, Math.floor((length - HEADER_LENGTH) / EXTENT_LENGTH));

/** Writes the request into `buffer`, whose length says how many extents the answer can have. */
export function encodeFiemap(buffer: Buffer, request: FiemapRequest): void {
  buffer.fill(0, 0, HEADER_LENGTH);
  writeU64(buffer, request.offset, 0);
  writeU64(buffer, request.length, 8);
  buffer.writeUInt32LE(request.flags, 16);
  buffer.writeUInt32LE(fiemapCapacity(buffer.length), 24);
}

/**
 * The extents of an answer, in the kernel's order. Offsets beyond 2^53 - 1 become that: they lie behind every file.
 * @throws ProtocolError VB_FILE_MAP if there are more extents than bytes
 */
export function decodeFiemap(answer: Buffer): readonly FiemapExtent[] {
  if (answer.length < HEADER_LENGTH) {
    throw new ProtocolError('VB_FILE_MAP', `struct fiemap of ${answer.length} bytes`, answer.length);
  }
  const count = answer.readUInt32LE(20);
  if (count > fiemapCapacity(answer.length)) {
    throw new ProtocolError('VB_FILE_MAP', `FIEMAP answers ${count} extents in ${answer.length} bytes`, 20);
  }
  const extents: FiemapExtent[] = [];
  for (let index = 0; index < count; index++) {
    const at = HEADER_LENGTH + index * EXTENT_LENGTH;
    extents.push({
      offset: readU64(answer, at),
      length: readU64(answer, at + 16),
      physical: readU64(answer, at + 8),
      flags: answer.readUInt32LE(at + 40),
    });
  }
  return extents;
}

function writeU64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32LE(value % 0x1_0000_0000, at);
  buffer.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

const readU64 = (buffer: Buffer, at: number): number =>
  Math.min(buffer.readUInt32LE(at + 4) * 0x1_0000_0000 + buffer.readUInt32LE(at), Number.MAX_SAFE_INTEGER);
