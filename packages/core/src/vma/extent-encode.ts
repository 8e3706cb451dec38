import { hash } from 'node:crypto';
import {
  VMA_EXTENT_AT,
  VMA_EXTENT_HEADER_LENGTH,
  VMA_EXTENT_MAGIC,
  VMA_SLOT_AT,
  VMA_SLOT_LENGTH,
  VMA_SLOTS_PER_EXTENT,
} from './words.js';

const AT = VMA_EXTENT_AT;

/** One cluster of an extent that is to be written. */
export interface NewExtentSlot {
  readonly deviceId: number;
  readonly clusterIndex: number;
  /** Bit i: the cluster's block i follows. */
  readonly mask: number;
  /** Bits in the mask. */
  readonly blockCount: number;
}

/**
 * The 512 bytes in front of an extent's blocks, which the checksum covers; it does not cover the blocks.
 *
 *     0 magic "VMAE" | 4 zero, 2 bytes | 6 stored blocks, u16 | 8 uuid | 24 md5 | 40 59 slots of 8 bytes:
 *     mask, u16 | zero, 1 byte | device id, 0 for an unused slot | cluster index, u32
 *
 * @param slots - at most 59, in the order of their blocks
 */
export function encodeExtentHeader(uuid: Buffer, slots: readonly NewExtentSlot[]): Buffer {
  if (slots.length > VMA_SLOTS_PER_EXTENT) throw new RangeError(`${slots.length} clusters in an extent`);
  const header = Buffer.alloc(VMA_EXTENT_HEADER_LENGTH);
  header.writeUInt32BE(VMA_EXTENT_MAGIC, AT.magic);
  header.writeUInt16BE(
    slots.reduce((sum, { blockCount }) => sum + blockCount, 0),
    AT.blockCount,
  );
  uuid.copy(header, AT.uuid);
  for (const [index, { deviceId, clusterIndex, mask }] of slots.entries()) {
    const at = AT.slots + VMA_SLOT_LENGTH * index;
    header.writeUInt16BE(mask, at + VMA_SLOT_AT.mask);
    header.writeUInt8(deviceId, at + VMA_SLOT_AT.deviceId);
    header.writeUInt32BE(clusterIndex, at + VMA_SLOT_AT.clusterIndex);
  }
  hash('md5', header, 'buffer').copy(header, AT.md5);
  return header;
}
