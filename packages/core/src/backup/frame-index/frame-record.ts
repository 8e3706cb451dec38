import { readUInt64LE, writeUInt64LE } from '../../bytes/index.js';
import { ProtocolError } from '../../errors/index.js';
import { DIGEST_LENGTH, type DigestAlgorithm, isDigestAlgorithm } from '../frame-digest/digest-algorithm.js';

/**
 * The index of a stream: a header, one record per frame in the order of the file, a footer; 64 bytes each, little endian.
 *
 *     header   0 "vbindex\0"   8 version u32   12 record length u32 = 64   16 disk size u64
 *              24 in version 2: what the frames' digests are made with, ASCII, zeros up to 40; in version 1 zeros: SHA-256
 *              40 zeros
 *     record   0 kind u8: 1 data, 2 zero   1 zeros   4 stored length u32   8 disk offset u64   16 length u64
 *              24 file offset u64: where the payload begins (of a zero frame: where its header ends)
 *              32 the digest of the frame's disk bytes (of a zero frame: zeros)
 *     footer   0 "vbindend"   8 number of records u64   16 zeros   32 SHA-256 of everything before the footer
 *
 * An index with SHA-256 is written as version 1, which every vbackup reads.
 */
export const RECORD_LENGTH = 64;
export const INDEX_MAGIC = Buffer.from('vbindex\0', 'latin1');
export const FOOTER_MAGIC = Buffer.from('vbindend', 'latin1');

const VERSION_WITH_SHA256 = 1;
const VERSION_WITH_NAME = 2;
const NAME_OFFSET = 24;
const NAME_END = 40;

/** No frame with a payload is longer (specs: SparseStream, safe profile: one LZ4 frame of at most 16 MiB). */
const DATA_FRAME_LENGTH_LIMIT = 16 * 1024 * 1024;
/** The longest payload: incompressible data in LZ4 blocks of 64 KiB grows by less than 1/1000, and the frame's own header. */
const STORED_LENGTH_LIMIT = DATA_FRAME_LENGTH_LIMIT + DATA_FRAME_LENGTH_LIMIT / 128 + 4096;

export interface FrameRecord {
  readonly kind: 'data' | 'zero';
  /** On the disk. */
  readonly offset: number;
  readonly length: number;
  /** In the file: the payload. */
  readonly fileOffset: number;
  readonly storedLength: number;
  /** Of the disk's bytes, made with what the index names; zeros for a zero frame. */
  readonly digest: Buffer;
}

const KIND_DATA = 1;
const KIND_ZERO = 2;

export function encodeRecord(record: FrameRecord, into: Buffer, at: number): void {
  into.fill(0, at, at + 32);
  into.writeUInt8(record.kind === 'data' ? KIND_DATA : KIND_ZERO, at);
  into.writeUInt32LE(record.storedLength, at + 4);
  writeUInt64LE(into, record.offset, at + 8);
  writeUInt64LE(into, record.length, at + 16);
  writeUInt64LE(into, record.fileOffset, at + 24);
  record.digest.copy(into, at + 32, 0, DIGEST_LENGTH);
}

/**
 * @param fileOffset where `bytes` lies in the index, for the message
 * @throws ProtocolError VB_INDEX_DAMAGED
 */
export function decodeRecord(bytes: Buffer, at: number, fileOffset: number): FrameRecord {
  const kind = bytes.readUInt8(at);
  if (kind !== KIND_DATA && kind !== KIND_ZERO) {
    throw new ProtocolError('VB_INDEX_DAMAGED', `frame of kind ${kind}`, fileOffset);
  }
  const record: FrameRecord = {
    kind: kind === KIND_DATA ? 'data' : 'zero',
    storedLength: bytes.readUInt32LE(at + 4),
    offset: readLength(bytes, at + 8, fileOffset),
    length: readLength(bytes, at + 16, fileOffset),
    fileOffset: readLength(bytes, at + 24, fileOffset),
    digest: Buffer.from(bytes.subarray(at + 32, at + 64)),
  };
  const longest = record.kind === 'data' ? DATA_FRAME_LENGTH_LIMIT : Number.MAX_SAFE_INTEGER;
  if (record.length === 0 || record.length > longest || record.storedLength > STORED_LENGTH_LIMIT) {
    throw new ProtocolError(
      'VB_INDEX_DAMAGED',
      `frame of ${record.length} bytes in ${record.storedLength}`,
      fileOffset,
    );
  }
  return record;
}

/** A 64-bit number of the index. @throws ProtocolError VB_INDEX_DAMAGED beyond 2^53 - 1 */
export function readLength(bytes: Buffer, at: number, fileOffset: number): number {
  try {
    return readUInt64LE(bytes, at);
  } catch (cause) {
    throw new ProtocolError('VB_INDEX_DAMAGED', 'number beyond 2^53 - 1', fileOffset, { cause });
  }
}

/** What an index says of itself in front of its records. */
export interface IndexHeader {
  /** The disk's. */
  readonly size: number;
  readonly algorithm: DigestAlgorithm;
}

export function encodeIndexHeader({ size, algorithm }: IndexHeader): Buffer {
  const header = Buffer.alloc(RECORD_LENGTH);
  INDEX_MAGIC.copy(header);
  header.writeUInt32LE(algorithm === 'sha256' ? VERSION_WITH_SHA256 : VERSION_WITH_NAME, 8);
  header.writeUInt32LE(RECORD_LENGTH, 12);
  writeUInt64LE(header, size, 16);
  if (algorithm !== 'sha256') header.write(algorithm, NAME_OFFSET, 'latin1');
  return header;
}

/** @param path - for messages. @throws ProtocolError VB_INDEX_DAMAGED */
export function decodeIndexHeader(header: Buffer, path: string): IndexHeader {
  if (!header.subarray(0, INDEX_MAGIC.length).equals(INDEX_MAGIC)) {
    throw new ProtocolError('VB_INDEX_DAMAGED', `${path} is not an index of frames`, 0);
  }
  const version = header.readUInt32LE(8);
  if ((version !== VERSION_WITH_SHA256 && version !== VERSION_WITH_NAME) || header.readUInt32LE(12) !== RECORD_LENGTH) {
    throw new ProtocolError('VB_INDEX_DAMAGED', `index ${path} has version ${version}`, 8);
  }
  const size = readLength(header, 16, 0);
  if (version === VERSION_WITH_SHA256) return { size, algorithm: 'sha256' };
  const algorithm = header.toString('latin1', NAME_OFFSET, NAME_END).replace(/\0+$/, '');
  if (!isDigestAlgorithm(algorithm)) {
    const detail = `names digests that are not known, ${JSON.stringify(algorithm)}`;
    throw new ProtocolError('VB_INDEX_DAMAGED', `index ${path} ${detail}`, NAME_OFFSET);
  }
  return { size, algorithm };
}

export function encodeIndexFooter(count: number, digest: Buffer): Buffer {
  const footer = Buffer.alloc(RECORD_LENGTH);
  FOOTER_MAGIC.copy(footer);
  writeUInt64LE(footer, count, 8);
  digest.copy(footer, 32);
  return footer;
}
