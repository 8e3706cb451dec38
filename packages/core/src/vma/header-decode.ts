import { createHash } from 'node:crypto';
import { ProtocolError } from '../errors/index.js';
import type { VmaConfig, VmaDevice, VmaHeader, VmaWarning, VmaWarningCode } from './archive.js';
import { type BlobsByPointer, findBlobs } from './blob-decode.js';
import { unsafeNameReason } from './safe-name.js';
import {
  VMA_CONFIG_SLOTS,
  VMA_DEVICE_AT,
  VMA_DEVICE_INFO_LENGTH,
  VMA_DEVICE_SLOTS,
  VMA_FIXED_HEADER_LENGTH,
  VMA_HEADER_AT,
  VMA_HEADER_STEP,
  VMA_MAX_DEVICE_SIZE,
  VMA_MAX_HEADER_LENGTH,
  VMA_MAX_PVE_DEVICE_ID,
  VMA_MD5_LENGTH,
  VMA_SECTOR_LENGTH,
  VMA_UUID_LENGTH,
  VMA_VERSION,
} from './words.js';

const AT = VMA_HEADER_AT;
const MAGIC = Buffer.from('VMA\0', 'latin1');
/** Seconds since 1970 that a Date can say. */
const MAX_CTIME = 8_640_000_000_000n;

/** Whether bytes, as many as there are, could be the beginning of an archive. */
export function beginsArchive(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, MAGIC.length);
  return bytes.subarray(0, length).equals(MAGIC.subarray(0, length));
}

/** @throws ProtocolError VB_VMA_BAD_MAGIC: what comes first is asked first, for the better message */
export function requireMagic(bytes: Buffer): void {
  if (beginsArchive(bytes)) return;
  const found = bytes.toString('hex', 0, 4);
  throw new ProtocolError('VB_VMA_BAD_MAGIC', `not a VMA archive: it begins with ${found}`, AT.magic);
}

/**
 * How long the whole header is, from its fixed part. Nothing of it may be believed before {@link decodeHeader}.
 * @throws ProtocolError VB_VMA_BAD_MAGIC, VB_VMA_BAD_HEADER_SIZE
 */
export function decodeHeaderLength(fixed: Buffer): number {
  requireMagic(fixed);
  const length = fixed.readUInt32BE(AT.headerLength);
  if (length > VMA_FIXED_HEADER_LENGTH && length <= VMA_MAX_HEADER_LENGTH) return length;
  const allowed = `${VMA_FIXED_HEADER_LENGTH + 1} to ${VMA_MAX_HEADER_LENGTH} allowed`;
  throw new ProtocolError('VB_VMA_BAD_HEADER_SIZE', `header of ${length} bytes, ${allowed}`, AT.headerLength);
}

export interface DecodedHeader {
  readonly header: VmaHeader;
  readonly warnings: readonly VmaWarning[];
}

/**
 * Reads a whole header: the checksum first, then the version, then what it says. Nothing in the result is a view of `bytes`.
 *
 *     0 magic | 4 version | 8 uuid | 24 ctime | 32 md5 | 48 blob buffer: offset, 52 length | 56 length of the header
 *     2044 names of configurations, 3068 their contents: pointers into the blob buffer | 4096 devices, 32 bytes each
 *
 * @throws ProtocolError VB_VMA_BAD_MAGIC, …_HEADER_SIZE, …_HEADER_MD5, …_VERSION, …_BLOB_BUFFER, …_CONFIG_POINTER,
 * …_DEVICE_POINTER, VB_VMA_LIMIT
 */
export function decodeHeader(bytes: Buffer): DecodedHeader {
  const length = decodeHeaderLength(bytes);
  requireChecksum(bytes);
  const version = bytes.readUInt32BE(AT.version);
  if (version !== VMA_VERSION) {
    throw new ProtocolError('VB_VMA_BAD_VERSION', `VMA of version ${version}, only 1 is known`, AT.version);
  }
  const warnings: VmaWarning[] = [];
  const warn: Warn = (code, offset, message) => warnings.push({ code, message, offset });
  const blobs = findBlobs(blobBuffer(bytes), pointersOf(bytes));
  if (length % VMA_HEADER_STEP !== 0)
    warn('HEADER_LENGTH', AT.headerLength, `header of ${length} bytes, no multiple of 512`);
  warnOfReserved(bytes, warn);
  const header: VmaHeader = {
    uuid: Buffer.from(bytes.subarray(AT.uuid, AT.uuid + VMA_UUID_LENGTH)),
    ctime: ctimeOf(bytes, warn),
    length,
    configs: [...configsOf(bytes, blobs, warn)],
    devices: [...devicesOf(bytes, blobs, warn)],
  };
  warnOfNames('configuration', header.configs, warn);
  warnOfNames('device', header.devices, warn);
  return { header, warnings };
}

type Warn = (code: VmaWarningCode, offset: number, message: string) => void;

function requireChecksum(bytes: Buffer): void {
  const stored = bytes.toString('hex', AT.md5, AT.md5 + VMA_MD5_LENGTH);
  const before = bytes.subarray(0, AT.md5);
  const behind = bytes.subarray(AT.md5 + VMA_MD5_LENGTH);
  const found = createHash('md5').update(before).update(Buffer.alloc(VMA_MD5_LENGTH)).update(behind).digest('hex');
  if (found === stored) return;
  throw new ProtocolError('VB_VMA_HEADER_MD5', `header has the MD5 ${found}, ${stored} expected`, AT.md5);
}

function blobBuffer(bytes: Buffer): Buffer {
  const offset = bytes.readUInt32BE(AT.blobBufferOffset);
  const length = bytes.readUInt32BE(AT.blobBufferLength);
  if (offset < VMA_FIXED_HEADER_LENGTH) {
    const message = `blob buffer at ${offset}, inside of the fixed header`;
    throw new ProtocolError('VB_VMA_BAD_BLOB_BUFFER', message, AT.blobBufferOffset);
  }
  if (offset + length > bytes.length) {
    const message = `blob buffer of ${length} bytes at ${offset}, in a header of ${bytes.length}`;
    throw new ProtocolError('VB_VMA_BAD_BLOB_BUFFER', message, AT.blobBufferLength);
  }
  return bytes.subarray(offset, offset + length);
}

const configSlot = (bytes: Buffer, slot: number): { name: number; data: number } => ({
  name: bytes.readUInt32BE(AT.configNames + 4 * slot),
  data: bytes.readUInt32BE(AT.configData + 4 * slot),
});

const deviceSlot = (bytes: Buffer, id: number): Buffer => {
  const at = AT.devices + VMA_DEVICE_INFO_LENGTH * id;
  return bytes.subarray(at, at + VMA_DEVICE_INFO_LENGTH);
};

function* pointersOf(bytes: Buffer): Generator<number> {
  for (let slot = 0; slot < VMA_CONFIG_SLOTS; slot += 1) {
    const { name, data } = configSlot(bytes, slot);
    yield name;
    yield data;
  }
  for (let id = 1; id < VMA_DEVICE_SLOTS; id += 1) yield deviceSlot(bytes, id).readUInt32BE(VMA_DEVICE_AT.namePointer);
}

function* configsOf(bytes: Buffer, blobs: BlobsByPointer, warn: Warn): Generator<VmaConfig> {
  for (let slot = 0; slot < VMA_CONFIG_SLOTS; slot += 1) {
    const pointers = configSlot(bytes, slot);
    const at = { name: AT.configNames + 4 * slot, data: AT.configData + 4 * slot };
    if (pointers.name === 0 && pointers.data === 0) continue;
    if (pointers.name === 0 || pointers.data === 0) {
      warn('CONFIG_EMPTY', at.name, `configuration ${slot} has only one of its two pointers`);
      continue;
    }
    const name = nameOf(blobs.get(pointers.name));
    const content = blobs.get(pointers.data);
    if (name === undefined) throw badPointer('VB_VMA_BAD_CONFIG_POINTER', `configuration ${slot} has no name`, at.name);
    if (content === undefined) {
      throw badPointer('VB_VMA_BAD_CONFIG_POINTER', `configuration ${slot} has no content`, at.data);
    }
    yield { name, content: Buffer.from(content) };
  }
}

function* devicesOf(bytes: Buffer, blobs: BlobsByPointer, warn: Warn): Generator<VmaDevice> {
  for (let id = 1; id < VMA_DEVICE_SLOTS; id += 1) {
    const entry = deviceSlot(bytes, id);
    const at = AT.devices + VMA_DEVICE_INFO_LENGTH * id;
    const pointer = entry.readUInt32BE(VMA_DEVICE_AT.namePointer);
    // Rounded where it is not exact, but only beyond what is refused below.
    const size = entry.readUInt32BE(VMA_DEVICE_AT.size) * 2 ** 32 + entry.readUInt32BE(VMA_DEVICE_AT.size + 4);
    if (size === 0) {
      if (pointer !== 0) warn('DEVICE_EMPTY', at, `device ${id} has a name and no size`);
      continue;
    }
    const name = nameOf(blobs.get(pointer));
    if (name === undefined) throw badPointer('VB_VMA_BAD_DEVICE_POINTER', `device ${id} has a size and no name`, at);
    if (size > VMA_MAX_DEVICE_SIZE) {
      const message = `device ${id} of ${size} bytes, ${VMA_MAX_DEVICE_SIZE} is the most the format can hold`;
      throw new ProtocolError('VB_VMA_LIMIT', message, at + VMA_DEVICE_AT.size);
    }
    if (size % VMA_SECTOR_LENGTH !== 0) {
      warn('DEVICE_SIZE', at + VMA_DEVICE_AT.size, `device ${id} of ${size} bytes, no multiple of 512`);
    }
    if (id > VMA_MAX_PVE_DEVICE_ID) warn('DEVICE_ID', at, `device ${id}: Proxmox knows 1 to ${VMA_MAX_PVE_DEVICE_ID}`);
    yield { id, name, size };
  }
}

const badPointer = (
  code: 'VB_VMA_BAD_CONFIG_POINTER' | 'VB_VMA_BAD_DEVICE_POINTER',
  message: string,
  offset: number,
): ProtocolError => new ProtocolError(code, message, offset);

/** A name is a blob that ends with a zero byte. */
function nameOf(blob: Buffer | undefined): string | undefined {
  return blob?.at(-1) === 0 ? blob.toString('utf8', 0, blob.length - 1) : undefined;
}

function ctimeOf(bytes: Buffer, warn: Warn): number {
  const ctime = bytes.readBigInt64BE(AT.ctime);
  if (ctime <= MAX_CTIME && ctime >= -MAX_CTIME) return Number(ctime);
  warn('CTIME', AT.ctime, `created ${ctime} seconds after 1970`);
  return 0;
}

function warnOfReserved(bytes: Buffer, warn: Warn): void {
  const tell = (offset: number, length: number): boolean => {
    const index = bytes.subarray(offset, offset + length).findIndex((byte) => byte !== 0);
    if (index >= 0) warn('RESERVED', offset + index, 'reserved bytes of the header are not zero');
    return index >= 0;
  };
  if (tell(AT.reserved, AT.configNames - AT.reserved)) return;
  if (tell(AT.reserved1, AT.devices - AT.reserved1)) return;
  if (tell(AT.devices, VMA_DEVICE_INFO_LENGTH)) return;
  for (let id = 1; id < VMA_DEVICE_SLOTS; id += 1) {
    const at = AT.devices + VMA_DEVICE_INFO_LENGTH * id;
    if (tell(at + VMA_DEVICE_AT.reserved0, 4) || tell(at + VMA_DEVICE_AT.reserved1, 16)) return;
  }
}

function warnOfNames(kind: string, entries: readonly { readonly name: string }[], warn: Warn): void {
  const seen = new Set<string>();
  const at = kind === 'device' ? AT.devices : AT.configNames;
  for (const { name } of entries) {
    const reason = unsafeNameReason(name);
    const shown = JSON.stringify(name.slice(0, 80));
    if (reason !== undefined) warn('UNSAFE_NAME', at, `the name ${shown} of a ${kind} ${reason}`);
    if (seen.has(name)) warn('DUPLICATE_NAME', at, `more than one ${kind} has the name ${shown}`);
    seen.add(name);
  }
}
