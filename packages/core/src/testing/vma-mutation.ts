import { hash } from 'node:crypto';
import {
  VMA_BLOCK_LENGTH,
  VMA_DEVICE_AT,
  VMA_DEVICE_INFO_LENGTH,
  VMA_EXTENT_AT,
  VMA_EXTENT_HEADER_LENGTH,
  VMA_FIXED_HEADER_LENGTH,
  VMA_HEADER_AT,
  VMA_MD5_LENGTH,
  VMA_SLOT_LENGTH,
  VMA_SLOTS_PER_EXTENT,
} from '../vma/words.js';

/** A number from 0 to `limit`, exclusive. */
export type RandomBelow = (limit: number) => number;

/** The same numbers for the same seed (xorshift32, in arithmetic). */
export function randomBelow(seed: number): RandomBelow {
  let state = (seed % 2_147_483_646) + 1;
  return (limit) => {
    // The minimal standard generator of Park and Miller; exact, as its products stay below 2^53.
    state = (state * 48_271) % 2_147_483_647;
    return Math.floor(((state - 1) / 2_147_483_646) * limit);
  };
}

/** Puts an MD5 where it belongs: over `length` bytes, with zeros in its own place. */
function sealAt(bytes: Buffer, at: { readonly start: number; readonly length: number; readonly md5: number }): void {
  const part = bytes.subarray(at.start, at.start + at.length);
  if (part.length < at.length || at.length < at.md5 + VMA_MD5_LENGTH) return;
  part.fill(0, at.md5, at.md5 + VMA_MD5_LENGTH);
  hash('md5', part, 'buffer').copy(part, at.md5);
}

/** Makes the checksum of the header right. */
export function sealHeader(bytes: Buffer): Buffer {
  if (bytes.length < VMA_HEADER_AT.reserved) return bytes;
  const length = bytes.readUInt32BE(VMA_HEADER_AT.headerLength);
  sealAt(bytes, { start: 0, length, md5: VMA_HEADER_AT.md5 });
  return bytes;
}

/** Makes the checksum of the extent's header at `start` right. */
export function sealExtent(bytes: Buffer, start: number): Buffer {
  sealAt(bytes, { start, length: VMA_EXTENT_HEADER_LENGTH, md5: VMA_EXTENT_AT.md5 });
  return bytes;
}

/** Where extents begin in a valid archive. */
export function extentOffsets(bytes: Buffer): number[] {
  const offsets: number[] = [];
  let at = bytes.readUInt32BE(VMA_HEADER_AT.headerLength);
  while (at + VMA_EXTENT_HEADER_LENGTH <= bytes.length) {
    offsets.push(at);
    at += VMA_EXTENT_HEADER_LENGTH + bytes.readUInt16BE(at + VMA_EXTENT_AT.blockCount) * VMA_BLOCK_LENGTH;
  }
  return offsets;
}

const NUMBERS = [
  0,
  1,
  2,
  15,
  58,
  59,
  255,
  256,
  4096,
  12_288,
  12_289,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

type Change = (bytes: Buffer, random: RandomBelow) => Buffer;

const HEADER_FIELDS = [
  VMA_HEADER_AT.version,
  VMA_HEADER_AT.blobBufferOffset,
  VMA_HEADER_AT.blobBufferLength,
  VMA_HEADER_AT.headerLength,
  VMA_HEADER_AT.configNames,
  VMA_HEADER_AT.configData,
  VMA_HEADER_AT.configNames + 4,
  VMA_HEADER_AT.devices + VMA_DEVICE_INFO_LENGTH + VMA_DEVICE_AT.namePointer,
  VMA_HEADER_AT.devices + VMA_DEVICE_INFO_LENGTH + VMA_DEVICE_AT.size,
  VMA_HEADER_AT.devices + VMA_DEVICE_INFO_LENGTH + VMA_DEVICE_AT.size + 4,
  VMA_HEADER_AT.devices + 2 * VMA_DEVICE_INFO_LENGTH + VMA_DEVICE_AT.namePointer,
  VMA_HEADER_AT.devices + 2 * VMA_DEVICE_INFO_LENGTH + VMA_DEVICE_AT.size + 4,
];

const pick = <T>(from: readonly T[], random: RandomBelow, otherwise: T): T => from[random(from.length)] ?? otherwise;

const flipAnywhere: Change = (bytes, random) => {
  const at = random(bytes.length);
  bytes[at] = random(256);
  return bytes;
};

const setHeaderField: Change = (bytes, random) => {
  bytes.writeUInt32BE(pick(NUMBERS, random, 0), pick(HEADER_FIELDS, random, VMA_HEADER_AT.version));
  return bytes;
};

const changeBlob: Change = (bytes, random) => {
  const at = VMA_FIXED_HEADER_LENGTH + random(512);
  if (at < bytes.length) bytes[at] = random(256);
  return bytes;
};

/** Changes a slot, or the count, of an extent that was there before. */
const changeExtent: Change = (bytes, random) => {
  const start = pick(extentOffsets(bytes), random, -1);
  if (start < 0) return bytes;
  const slot = start + VMA_EXTENT_AT.slots + VMA_SLOT_LENGTH * random(VMA_SLOTS_PER_EXTENT);
  switch (random(6)) {
    case 0:
      bytes.writeUInt16BE(pick([0, 1, 944, 945, 65_535, random(100)], random, 0), start + VMA_EXTENT_AT.blockCount);
      break;
    case 1:
      bytes.writeUInt16BE(random(65_536), slot);
      break;
    case 2:
      bytes.writeUInt8(random(4), slot + 3);
      break;
    case 3:
      bytes.writeUInt32BE(pick([random(100), ...NUMBERS], random, 0), slot + 4);
      break;
    case 4:
      bytes.copyWithin(slot, start + VMA_EXTENT_AT.slots, start + VMA_EXTENT_AT.slots + VMA_SLOT_LENGTH);
      break;
    default:
      bytes[start + random(VMA_EXTENT_HEADER_LENGTH)] = random(256);
  }
  return bytes;
};

const cut: Change = (bytes, random) => bytes.subarray(0, random(bytes.length + 1));

const append: Change = (bytes, random) => {
  const from = random(bytes.length);
  return Buffer.concat([bytes, bytes.subarray(from, from + random(5000))]);
};

const remove: Change = (bytes, random) => {
  const from = random(bytes.length);
  const length = pick([1, 512, 4096, random(9000)], random, 1);
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)]);
};

/** Takes an extent out, or puts one in twice. */
const moveExtent: Change = (bytes, random) => {
  const starts = extentOffsets(bytes);
  const index = random(starts.length);
  const start = starts[index];
  if (start === undefined) return bytes;
  const extent = bytes.subarray(start, starts[index + 1] ?? bytes.length);
  const rest = Buffer.concat([bytes.subarray(0, start), bytes.subarray(start + extent.length)]);
  return random(2) === 0 ? rest : Buffer.concat([rest, extent, random(2) === 0 ? extent : Buffer.alloc(0)]);
};

const CHANGES = [flipAnywhere, setHeaderField, changeBlob, changeExtent, changeExtent, cut, append, remove, moveExtent];

/**
 * An archive with one to three faults. In three of four the checksums are made right again, so that what stands behind them
 * is put to the test.
 */
export function mutateArchive(valid: Buffer, random: RandomBelow): Buffer {
  let bytes: Buffer = Buffer.from(valid);
  for (let left = 1 + random(3); left > 0 && bytes.length > VMA_FIXED_HEADER_LENGTH; left -= 1) {
    bytes = Buffer.from(pick(CHANGES, random, flipAnywhere)(bytes, random));
  }
  if (random(4) === 0 || bytes.length <= VMA_HEADER_AT.reserved) return bytes;
  sealHeader(bytes);
  for (let at = bytes.indexOf('VMAE'); at >= 0; at = bytes.indexOf('VMAE', at + 1)) sealExtent(bytes, at);
  return bytes;
}
