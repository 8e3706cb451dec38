import type { Extent } from '@vbackup/core';
import { readUInt64BE } from '@vbackup/core/bytes';
import { ProtocolError } from '@vbackup/core/errors';
import { coalesce } from '@vbackup/core/extent';

/** The disk is allocated in blocks of this many bytes, and these are allocated; ascending and disjoint. */
export interface BlockMap {
  readonly blockLength: number;
  /** The map says nothing about what lies beyond. */
  readonly size: number;
  readonly allocated: readonly Extent[];
}

/** What the parser needs next: exactly so many bytes, or to pass over so many. */
export type MapDemand = { readonly read: number } | { readonly skip: number };

const FOOTER_LENGTH = 512;
const HEADER_LENGTH = 1024;
const DYNAMIC = 3;
const ABSENT = 0xffffffff;
/** 2040 GiB in blocks of 2 MiB is the largest VHD that xapi makes. */
const MAXIMUM_ENTRIES = 1024 * 1024;
/** The table of a stream follows its headers; one that lies further away belongs to a file of another kind. */
const MAXIMUM_TABLE_OFFSET = 16 * 1024 * 1024;
const MAXIMUM_BLOCK_LENGTH = 256 * 1024 * 1024;

/**
 * Parses the beginning of a dynamic VHD stream, up to the end of its block allocation table:
 *
 *     0     footer (copy)   "conectix" … 16 offset of the header … 48 size … 60 type … 64 checksum
 *     512   header          "cxsparse" … 16 offset of the table … 28 entries … 32 block length … 36 checksum
 *     …     table           one u32 per block: its sector, or 0xffffffff where nothing is stored
 *
 * A block that is absent reads as zero. Source: Microsoft, "Virtual Hard Disk Image Format Specification", 1.0.
 * @throws ProtocolError VB_XEN_VHD
 */
export function* parseBlockMap(): Generator<MapDemand, BlockMap, Buffer> {
  const footer = yield { read: FOOTER_LENGTH };
  check(footer.toString('latin1', 0, 5) !== 'HTTP/', 'the host sent an error in place of a VHD', 0);
  check(footer.toString('latin1', 0, 8) === 'conectix', 'not a VHD', 0);
  check(checksum(footer, 64) === footer.readUInt32BE(64), 'the checksum of the VHD footer is wrong', 64);
  check(footer.readUInt32BE(60) === DYNAMIC, 'not a dynamic VHD', 60);
  const size = readUInt64BE(footer, 48);
  const headerOffset = readUInt64BE(footer, 16);
  check(headerOffset >= FOOTER_LENGTH && headerOffset <= MAXIMUM_TABLE_OFFSET, 'the VHD header is out of place', 16);
  yield { skip: headerOffset - FOOTER_LENGTH };
  const header = yield { read: HEADER_LENGTH };
  check(header.toString('latin1', 0, 8) === 'cxsparse', 'not a VHD header', headerOffset);
  check(checksum(header, 36) === header.readUInt32BE(36), 'the checksum of the VHD header is wrong', headerOffset + 36);
  const tableOffset = readUInt64BE(header, 16);
  const position = headerOffset + HEADER_LENGTH;
  check(
    tableOffset >= position && tableOffset <= MAXIMUM_TABLE_OFFSET,
    'the VHD table is out of place',
    headerOffset + 16,
  );
  const entryCount = header.readUInt32BE(28);
  const blockLength = header.readUInt32BE(32);
  check(entryCount > 0 && entryCount <= MAXIMUM_ENTRIES, `a VHD table of ${entryCount} entries`, headerOffset + 28);
  const blocksFit = blockLength >= 512 && blockLength <= MAXIMUM_BLOCK_LENGTH && blockLength % 512 === 0;
  check(blocksFit, `VHD blocks of ${blockLength} bytes`, headerOffset + 32);
  yield { skip: tableOffset - position };
  const table = yield { read: entryCount * 4 };
  const covered = Math.min(size, entryCount * blockLength);
  return { blockLength, size: covered, allocated: [...coalesce(blocksOf(table, blockLength, covered))] };
}

function* blocksOf(table: Buffer, blockLength: number, size: number): Generator<Extent> {
  for (let block = 0; block * 4 < table.length; block += 1) {
    const offset = block * blockLength;
    if (offset >= size) return;
    if (table.readUInt32BE(block * 4) !== ABSENT) yield { offset, length: Math.min(blockLength, size - offset) };
  }
}

/** The complement of the sum of all bytes but the checksum's own. */
function checksum(bytes: Buffer, at: number): number {
  let sum = 0;
  for (const [index, byte] of bytes.entries()) if (index < at || index >= at + 4) sum += byte;
  return 0xffffffff - sum;
}

function check(condition: boolean, message: string, offset: number): void {
  if (!condition) throw new ProtocolError('VB_XEN_VHD', message, offset);
}
