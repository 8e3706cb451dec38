import { VBackupError } from '../errors/index.js';

/**
 * Reads an unsigned 64-bit offset or length as a number.
 * @throws VBackupError VB_NUMBER_TOO_LARGE beyond 2^53 - 1 (8 PiB)
 */
export function readUInt64BE(bytes: Buffer, at: number): number {
  return exact(bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4), at);
}

/** As {@link readUInt64BE}, least significant byte first. */
export function readUInt64LE(bytes: Buffer, at: number): number {
  return exact(bytes.readUInt32LE(at + 4) * 0x1_0000_0000 + bytes.readUInt32LE(at), at);
}

/** Writes a number of up to 2^53 - 1 as unsigned 64 bits; returns the offset behind it. */
export function writeUInt64BE(bytes: Buffer, value: number, at: number): number {
  bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  return bytes.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

/** As {@link writeUInt64BE}, least significant byte first. */
export function writeUInt64LE(bytes: Buffer, value: number, at: number): number {
  bytes.writeUInt32LE(value % 0x1_0000_0000, at);
  return bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

function exact(value: number, at: number): number {
  if (value > Number.MAX_SAFE_INTEGER) {
    throw new VBackupError('VB_NUMBER_TOO_LARGE', `64-bit number at byte ${at} is beyond 2^53 - 1`);
  }
  return value;
}
