import { hash, randomBytes } from 'node:crypto';
import { VBackupError } from '../errors/index.js';
import { type NewVmaDevice, numberDevices } from './specification.js';
import { VMA_UUID_LENGTH } from './words.js';

/** What tells an archive from every other. Everything else in it follows from its content. */
export interface VmaIdentity {
  /** 16 bytes, in text order. */
  readonly uuid: Buffer;
  /** Seconds since 1970, UTC. */
  readonly ctime: number;
}

export interface IdentityOptions {
  /** Default: a random one. */
  readonly uuid?: Buffer | undefined;
  /** Default: the second that it is. */
  readonly ctime?: number | undefined;
  readonly now?: Date | undefined;
}

/** The identity of a new archive; with both given, writing it twice gives the same bytes. */
export function newIdentity({ uuid, ctime, now = new Date() }: IdentityOptions = {}): VmaIdentity {
  return { uuid: uuid ?? randomUuid(), ctime: ctime ?? Math.floor(now.getTime() / 1000) };
}

/** 16 bytes as `0d8fc66f-accb-4b1e-8b24-64002cba376f`. */
export function formatUuid(uuid: Buffer): string {
  return uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** @throws VBackupError VB_INVALID_ARGUMENT unless it is 32 hexadecimal digits, in one row or with hyphens as usual */
export function parseUuid(text: string): Buffer {
  if (/^(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i.test(text)) {
    return Buffer.from(text.replaceAll('-', ''), 'hex');
  }
  const cure = 'a UUID is 32 hexadecimal digits, as `uuidgen` prints them';
  throw new VBackupError('VB_INVALID_ARGUMENT', `${JSON.stringify(text)} is no UUID`, { cure });
}

/**
 * The UUID that follows from the names and sizes of the devices: it stands in every extent, so archives of one guest have equal
 * extents where the disks are equal, and storage that finds duplicates finds them. It does not tell archives apart.
 */
export function derivedUuid(devices: readonly NewVmaDevice[]): Buffer {
  const text = JSON.stringify(['vbackup vma dedup', ...numberDevices(devices).map(({ name, size }) => [name, size])]);
  return marked(hash('sha256', text, 'buffer').subarray(0, VMA_UUID_LENGTH), 8);
}

const randomUuid = (): Buffer => marked(randomBytes(VMA_UUID_LENGTH), 4);

/** RFC 9562: the version in the upper half of byte 6, the variant in the upper two bits of byte 8. */
function marked(uuid: Buffer, version: 4 | 8): Buffer {
  uuid.writeUInt8(version * 0x10 + (uuid.readUInt8(6) % 0x10), 6);
  uuid.writeUInt8(0x80 + (uuid.readUInt8(8) % 0x40), 8);
  return uuid;
}
