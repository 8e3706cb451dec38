import { hash } from 'node:crypto';
import type { VmaDamage } from './archive.js';
import { blockCountOf } from './mask-bitmap.js';
import {
  VMA_EXTENT_AT,
  VMA_EXTENT_HEADER_LENGTH,
  VMA_MD5_LENGTH,
  VMA_SLOT_AT,
  VMA_SLOT_LENGTH,
  VMA_SLOTS_PER_EXTENT,
  VMA_UUID_LENGTH,
} from './words.js';

const AT = VMA_EXTENT_AT;
const MAGIC = Buffer.from('VMAE', 'latin1');

/** One used slot of an extent: a cluster and which of its blocks are stored. */
export interface ExtentSlot {
  readonly deviceId: number;
  readonly clusterIndex: number;
  /** As it stands in the archive. */
  readonly mask: number;
  /** Where the slot stands in the archive. */
  readonly offset: number;
}

/** A checked header of an extent. */
export interface ExtentHeader {
  readonly blockCount: number;
  /** In their order; unused slots are left out. */
  readonly slots: readonly ExtentSlot[];
  /** An unused slot stands in front of a used one. */
  readonly gaps: boolean;
}

export interface ExtentPlace {
  /** Of the archive; every extent repeats it. */
  readonly uuid: Buffer;
  /** Where the extent begins in the archive. */
  readonly offset: number;
}

/**
 * Reads the 512 bytes in front of an extent's blocks. The magic is looked at first, the checksum before all else is believed.
 * The checksum covers these 512 bytes only, not the blocks.
 *
 *     0 magic "VMAE" | 4 zero, 2 bytes | 6 stored blocks, u16 | 8 uuid | 24 md5 | 40 59 slots of 8 bytes:
 *     mask, u16 | a byte that is ignored | device id, 0 for an unused slot | cluster index, u32
 *
 * @returns the header, or the rule that it breaks
 */
export function decodeExtentHeader(bytes: Buffer, { uuid, offset }: ExtentPlace): ExtentHeader | VmaDamage {
  if (!beginsExtent(bytes)) {
    const message = `no extent where one should begin, but ${bytes.toString('hex', 0, 4)}`;
    return { code: 'VB_VMA_EXTENT_MAGIC', message, offset };
  }
  const stored = bytes.toString('hex', AT.md5, AT.md5 + VMA_MD5_LENGTH);
  const copy = Buffer.from(bytes).fill(0, AT.md5, AT.md5 + VMA_MD5_LENGTH);
  const found = hash('md5', copy);
  if (found !== stored) {
    const message = `header of the extent has the MD5 ${found}, ${stored} expected`;
    return { code: 'VB_VMA_EXTENT_MD5', message, offset };
  }
  if (bytes.compare(uuid, 0, VMA_UUID_LENGTH, AT.uuid, AT.uuid + VMA_UUID_LENGTH) !== 0) {
    const other = bytes.toString('hex', AT.uuid, AT.uuid + VMA_UUID_LENGTH);
    const message = `extent of the archive ${other} in the archive ${uuid.toString('hex')}`;
    return { code: 'VB_VMA_EXTENT_UUID', message, offset };
  }
  const reserved = bytes.readUInt16BE(AT.reserved);
  if (reserved !== 0) {
    return {
      code: 'VB_VMA_EXTENT_MAGIC',
      message: `magic of the extent goes on with ${reserved} instead of 0`,
      offset,
    };
  }
  return decodeSlots(bytes, offset);
}

function decodeSlots(bytes: Buffer, offset: number): ExtentHeader | VmaDamage {
  const slots: ExtentSlot[] = [];
  let blocks = 0;
  let last = -1;
  for (let index = 0; index < VMA_SLOTS_PER_EXTENT; index += 1) {
    const at = AT.slots + index * VMA_SLOT_LENGTH;
    const deviceId = bytes.readUInt8(at + VMA_SLOT_AT.deviceId);
    if (deviceId === 0) continue;
    const mask = bytes.readUInt16BE(at + VMA_SLOT_AT.mask);
    const clusterIndex = bytes.readUInt32BE(at + VMA_SLOT_AT.clusterIndex);
    slots.push({ deviceId, clusterIndex, mask, offset: offset + at });
    blocks += blockCountOf(mask);
    last = index;
  }
  const blockCount = bytes.readUInt16BE(AT.blockCount);
  if (blockCount === blocks) return { blockCount, slots, gaps: last >= slots.length };
  const message = `extent says that it stores ${blockCount} blocks, its slots say ${blocks}`;
  return { code: 'VB_VMA_BLOCK_COUNT', message, offset };
}

/** Whether bytes that are fewer than a header could be the beginning of one. */
export function beginsExtent(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, MAGIC.length);
  return bytes.subarray(0, length).equals(MAGIC.subarray(0, length));
}

/**
 * Looks for an extent of this archive anywhere in bytes whose beginning is lost: magic, uuid and checksum must be right.
 * @param offset - where `bytes` begins in the archive
 * @returns where in `bytes` it begins, or from where on to look again when more bytes are there
 */
export function findExtent(
  bytes: Buffer,
  { uuid, offset }: ExtentPlace,
): { readonly at: number; readonly found: boolean } {
  let at = bytes.indexOf(MAGIC);
  for (; at >= 0 && at + VMA_EXTENT_HEADER_LENGTH <= bytes.length; at = bytes.indexOf(MAGIC, at + 1)) {
    const header = bytes.subarray(at, at + VMA_EXTENT_HEADER_LENGTH);
    if (!header.subarray(AT.uuid, AT.uuid + VMA_UUID_LENGTH).equals(uuid)) continue;
    if ('slots' in decodeExtentHeader(header, { uuid, offset: offset + at })) return { at, found: true };
  }
  return { at: at >= 0 ? at : Math.max(0, bytes.length - (MAGIC.length - 1)), found: false };
}
