import { writeUInt64BE } from '@vbackup/core';
import { BLOCK_LENGTH, type BlockMap } from '../model/block-map.js';

/** What one block of a dynamic VHD covers. */
export const VHD_BLOCK_LENGTH = 0x20_0000;

const SECTOR = 512;
const FOOTER_LENGTH = 512;
const HEADER_LENGTH = 1024;
/** The block's sector bitmap: 4096 bits, all set. */
const BITMAP: Buffer = Buffer.alloc(SECTOR, 0xff);
const UNUSED = 0xffff_ffff;
/** 2000-01-01T00:00:00Z, the epoch of VHD time stamps, in seconds. */
const EPOCH_SECONDS = 946_684_800;
const DYNAMIC = 3;

/**
 * The disk as a dynamic VHD, piece by piece: footer, header, block allocation table, blocks in ascending order, footer
 * again (Virtual Hard Disk Image Format Specification 1.0).
 */
export function* vhdOf(content: BlockMap, uuid: string): Generator<Buffer, void, undefined> {
  const footer = footerOf(content.size, uuid);
  const entries = Math.ceil(content.size / VHD_BLOCK_LENGTH);
  const table = Buffer.alloc(Math.ceil((entries * 4) / SECTOR) * SECTOR, 0xff);
  const used: number[] = [];
  let sector = (FOOTER_LENGTH + HEADER_LENGTH + table.length) / SECTOR;
  for (let entry = 0; entry < entries; entry++) {
    if (!hasData(content, entry)) continue;
    table.writeUInt32BE(sector, entry * 4);
    used.push(entry);
    sector += (BITMAP.length + VHD_BLOCK_LENGTH) / SECTOR;
    if (sector >= UNUSED) throw new RangeError('too large for a VHD');
  }
  yield Buffer.concat([footer, headerOf(entries), table]);
  for (const entry of used) yield Buffer.concat([BITMAP, blockOf(content, entry)]);
  yield footer;
}

/** Layout of the footer: cookie, features, version, data offset, time, creator, sizes, geometry, type, checksum, id. */
function footerOf(size: number, uuid: string): Buffer {
  const footer = Buffer.alloc(FOOTER_LENGTH);
  footer.write('conectix', 0, 'latin1');
  footer.writeUInt32BE(2, 8);
  footer.writeUInt32BE(0x0001_0000, 12);
  writeUInt64BE(footer, FOOTER_LENGTH, 16);
  footer.writeUInt32BE(Math.floor(Date.now() / 1000) - EPOCH_SECONDS, 24);
  footer.write('tap\0', 28, 'latin1');
  footer.writeUInt32BE(0x0001_0003, 32);
  writeUInt64BE(footer, size, 40);
  writeUInt64BE(footer, size, 48);
  const { cylinders, heads, sectors } = geometryOf(size);
  footer.writeUInt16BE(cylinders, 56);
  footer.writeUInt8(heads, 58);
  footer.writeUInt8(sectors, 59);
  footer.writeUInt32BE(DYNAMIC, 60);
  footer.write(uuid.replaceAll('-', ''), 68, 'hex');
  footer.writeUInt32BE(checksumOf(footer), 64);
  return footer;
}

function headerOf(entries: number): Buffer {
  const header = Buffer.alloc(HEADER_LENGTH);
  header.write('cxsparse', 0, 'latin1');
  header.fill(0xff, 8, 16);
  writeUInt64BE(header, FOOTER_LENGTH + HEADER_LENGTH, 16);
  header.writeUInt32BE(0x0001_0000, 24);
  header.writeUInt32BE(entries, 28);
  header.writeUInt32BE(VHD_BLOCK_LENGTH, 32);
  header.writeUInt32BE(checksumOf(header), 36);
  return header;
}

/** One's complement of the sum of all bytes, the checksum field itself being zero. */
function checksumOf(structure: Buffer): number {
  return UNUSED - structure.reduce((sum, byte) => sum + byte, 0);
}

/** The specification's appendix "CHS Calculation". */
function geometryOf(size: number): { cylinders: number; heads: number; sectors: number } {
  const total = Math.min(Math.floor(size / SECTOR), 65_535 * 16 * 255);
  if (total >= 65_535 * 16 * 63) {
    return { cylinders: Math.floor(total / (16 * 255)), heads: 16, sectors: 255 };
  }
  let sectors = 17;
  let perHead = Math.floor(total / sectors);
  let heads = Math.max(4, Math.floor((perHead + 1023) / 1024));
  for (const more of [31, 63]) {
    if (perHead < heads * 1024 && heads <= 16) break;
    sectors = more;
    heads = 16;
    perHead = Math.floor(total / sectors);
  }
  return { cylinders: Math.floor(perHead / heads), heads, sectors };
}

function hasData(content: BlockMap, entry: number): boolean {
  const perEntry = VHD_BLOCK_LENGTH / BLOCK_LENGTH;
  for (let block = entry * perEntry; block < (entry + 1) * perEntry; block++) {
    if (content.isAllocated(block)) return true;
  }
  return false;
}

/** The last block reaches beyond the disk; there it is zero. */
function blockOf(content: BlockMap, entry: number): Buffer {
  const block = Buffer.alloc(VHD_BLOCK_LENGTH);
  const offset = entry * VHD_BLOCK_LENGTH;
  content.read(offset, block.subarray(0, Math.min(VHD_BLOCK_LENGTH, content.size - offset)));
  return block;
}
