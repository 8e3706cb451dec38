import { ProtocolError } from '../errors/index.js';
import { xxh32 } from './xxh32.js';

/** LZ4 frame magic, little-endian (`lz4_Frame_format.md`, "Magic Number"). */
export const LZ4_MAGIC = 0x184d2204;
/** Magic, FLG, BD and HC: the shortest header. */
export const LZ4_MIN_HEADER_LENGTH = 7;
/** Bit 31 of a block's size: the block is stored as it is. */
const STORED_BIT = 0x8000_0000;

const FLG_VERSION = 0b0100_0000;
const FLG_VERSION_MASK = 0b1100_0000;
const FLG_INDEPENDENT = 0b0010_0000;
const FLG_BLOCK_CHECKSUM = 0b0001_0000;
const FLG_CONTENT_SIZE = 0b0000_1000;
const FLG_CONTENT_CHECKSUM = 0b0000_0100;
const FLG_RESERVED = 0b0000_0010;
const FLG_DICTIONARY = 0b0000_0001;

/** What the header of an LZ4 frame promises. */
export interface Lz4Descriptor {
  readonly headerLength: number;
  readonly independent: boolean;
  readonly blockChecksum: boolean;
  readonly contentChecksum: boolean;
  /** Decoded size of the frame, where the header names it. */
  readonly contentSize: number | undefined;
  /** Largest decoded size of one block: 64 KiB, 256 KiB, 1 MiB or 4 MiB. */
  readonly maxBlockLength: number;
}

/** The header's length from its first five bytes. */
export const lz4HeaderLength = (start: Buffer): number =>
  LZ4_MIN_HEADER_LENGTH + (((start[4] ?? 0) & FLG_CONTENT_SIZE) === 0 ? 0 : 8) + ((start[4] ?? 0) & FLG_DICTIONARY) * 4;

const maxBlockLength = (id: number): number => 4 ** (id + 4);

const headerChecksum = (descriptor: Buffer): number => (xxh32(descriptor) >>> 8) & 0xff;

/**
 * The header of a frame with independent blocks, content size and no checksums but its own:
 *
 *     0 magic u32 LE · 4 FLG · 5 BD · 6 content size u64 LE · 14 HC
 *
 * The blocks are 64 KiB for one that fits, else 256 KiB: larger ones compress little better, and cost memory and time.
 */
export function encodeLz4Header(length: number): { readonly header: Buffer; readonly maxBlockLength: number } {
  const id = length <= maxBlockLength(4) ? 4 : 5;
  const header = Buffer.alloc(15);
  header.writeUInt32LE(LZ4_MAGIC, 0);
  header[4] = FLG_VERSION | FLG_INDEPENDENT | FLG_CONTENT_SIZE;
  header[5] = id << 4;
  header.writeUInt32LE(length % 0x1_0000_0000, 6);
  header.writeUInt32LE(Math.floor(length / 0x1_0000_0000), 10);
  header[14] = headerChecksum(header.subarray(4, 14));
  return { header, maxBlockLength: maxBlockLength(id) };
}

/**
 * Reads the whole header of a frame.
 * @param at - where the header begins in the file, for the error
 * @throws ProtocolError VB_SPARSE_LZ4 for another magic, version or checksum, reserved bits or a dictionary
 */
export function decodeLz4Header(header: Buffer, at: number): Lz4Descriptor {
  const flg = header[4] ?? 0;
  const bd = header[5] ?? 0;
  const fail = (what: string, offset: number): never => {
    throw new ProtocolError('VB_SPARSE_LZ4', `LZ4 frame cannot be read: ${what}`, at + offset);
  };
  if (header.readUInt32LE(0) !== LZ4_MAGIC) fail(`magic ${header.toString('hex', 0, 4)}`, 0);
  if ((flg & FLG_VERSION_MASK) !== FLG_VERSION || (flg & FLG_RESERVED) !== 0) fail(`flags 0x${flg.toString(16)}`, 4);
  if ((flg & FLG_DICTIONARY) !== 0) fail('it needs a dictionary', 4);
  if ((bd & 0b1000_1111) !== 0 || bd < 0x40) fail(`block descriptor 0x${bd.toString(16)}`, 5);
  const sum = header.length - 1;
  if (header[sum] !== headerChecksum(header.subarray(4, sum))) fail('the checksum of its header does not match', sum);
  const sized = (flg & FLG_CONTENT_SIZE) !== 0;
  return {
    headerLength: header.length,
    independent: (flg & FLG_INDEPENDENT) !== 0,
    blockChecksum: (flg & FLG_BLOCK_CHECKSUM) !== 0,
    contentChecksum: (flg & FLG_CONTENT_CHECKSUM) !== 0,
    contentSize: sized ? header.readUInt32LE(10) * 0x1_0000_0000 + header.readUInt32LE(6) : undefined,
    maxBlockLength: maxBlockLength(bd >>> 4),
  };
}

/** A block's size word: its stored length, and whether it is compressed. Length 0 is the end mark. */
export const decodeBlockSize = (word: number): { readonly length: number; readonly compressed: boolean } =>
  word >= STORED_BIT ? { length: word - STORED_BIT, compressed: false } : { length: word, compressed: true };

/** The size word of a block that is stored as it is. */
export const storedBlockSize = (length: number): number => STORED_BIT + length;
