import { hash } from 'node:crypto';
import { writeUInt64BE } from '../bytes/index.js';
import { VBackupError } from '../errors/index.js';
import { checkArchive, type NewVmaArchive, numberDevices } from './specification.js';
import {
  VMA_BLOB_LENGTH_FIELD,
  VMA_DEVICE_AT,
  VMA_DEVICE_INFO_LENGTH,
  VMA_FIXED_HEADER_LENGTH,
  VMA_HEADER_AT,
  VMA_HEADER_STEP,
  VMA_MAGIC,
  VMA_MAX_PVE_HEADER_LENGTH,
  VMA_VERSION,
} from './words.js';

const AT = VMA_HEADER_AT;

/**
 * The whole header of an archive: the fixed part, then the blobs in the order of the original (name and content of every
 * configuration, then the names of the devices), then zeros up to a multiple of 512.
 *
 *     0 magic | 4 version | 8 uuid | 24 ctime | 32 md5 | 48 blob buffer: offset, 52 length | 56 length of the header
 *     2044 names of configurations, 3068 their contents: pointers into the blob buffer | 4096 devices, 32 bytes each
 *     12288 blobs
 *
 * @throws VBackupError VB_VMA_LIMIT, VB_VMA_UNSAFE_NAME, VB_VMA_DUPLICATE_NAME, VB_INVALID_ARGUMENT
 */
export function encodeHeader(archive: NewVmaArchive): Buffer {
  checkArchive(archive);
  const blobs = new BlobBuffer();
  const fixed = Buffer.alloc(VMA_FIXED_HEADER_LENGTH);
  for (const [index, { name, content }] of archive.configs.entries()) {
    fixed.writeUInt32BE(blobs.add(nameBlob(name)), AT.configNames + 4 * index);
    fixed.writeUInt32BE(blobs.add(content), AT.configData + 4 * index);
  }
  for (const { id, name, size } of numberDevices(archive.devices)) {
    const entry = AT.devices + VMA_DEVICE_INFO_LENGTH * id;
    fixed.writeUInt32BE(blobs.add(nameBlob(name)), entry + VMA_DEVICE_AT.namePointer);
    writeUInt64BE(fixed, size, entry + VMA_DEVICE_AT.size);
  }
  const length = VMA_FIXED_HEADER_LENGTH + blobs.tableLength;
  if (length > VMA_MAX_PVE_HEADER_LENGTH) {
    const message = `the header would have ${length} bytes, Proxmox writes at most ${VMA_MAX_PVE_HEADER_LENGTH}`;
    throw new VBackupError('VB_VMA_LIMIT', message, { cure: 'write fewer or smaller configurations' });
  }
  fixed.writeUInt32BE(VMA_MAGIC, AT.magic);
  fixed.writeUInt32BE(VMA_VERSION, AT.version);
  archive.uuid.copy(fixed, AT.uuid);
  fixed.writeBigInt64BE(BigInt(archive.ctime), AT.ctime);
  fixed.writeUInt32BE(VMA_FIXED_HEADER_LENGTH, AT.blobBufferOffset);
  fixed.writeUInt32BE(blobs.length, AT.blobBufferLength);
  fixed.writeUInt32BE(length, AT.headerLength);
  const header = Buffer.concat([fixed, blobs.bytes()], length);
  // The checksum is that of the header with zeros in its place.
  hash('md5', header, 'buffer').copy(header, AT.md5);
  return header;
}

const nameBlob = (name: string): Buffer => Buffer.from(`${name}\0`);

/** Blobs one after the other, behind a byte that makes 0 a pointer to none. */
class BlobBuffer {
  readonly #parts: Buffer[] = [Buffer.alloc(1)];
  #length = 1;
  #tableLength = VMA_HEADER_STEP;

  /** Bytes used. */
  get length(): number {
    return this.#length;
  }

  /**
   * Bytes of the header that the blobs take: a multiple of 512. As in the original, a table that is full grows by the
   * blob's own length, rounded up, which may be more than is needed.
   */
  get tableLength(): number {
    return this.#tableLength;
  }

  /** Returns the pointer: where the blob's length stands. */
  add(blob: Buffer): number {
    const pointer = this.#length;
    const length = Buffer.alloc(VMA_BLOB_LENGTH_FIELD);
    length.writeUInt16LE(blob.length);
    const needed = length.length + blob.length;
    this.#parts.push(length, blob);
    this.#length += needed;
    if (this.#length > this.#tableLength) this.#tableLength += Math.ceil(needed / VMA_HEADER_STEP) * VMA_HEADER_STEP;
    return pointer;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
