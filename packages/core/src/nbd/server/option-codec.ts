import { writeUInt64BE } from '../../bytes/index.js';
import { ProtocolError } from '../../errors/index.js';
import { hasFlag } from '../protocol-flags.js';
import {
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_DESCRIPTION,
  NBD_INFO_EXPORT,
  NBD_INFO_NAME,
  NBD_MAGIC,
  NBD_MAX_STRING,
  NBD_OPTS_MAGIC,
  NBD_REP_MAGIC,
} from '../words.js';

// Both directions of the handshake as a server sees it: doc/proto.md, "Fixed newstyle negotiation".

export const CLIENT_FLAGS_LENGTH = 4;
export const OPTION_HEADER_LENGTH = 16;
/** After the answer to NBD_OPT_EXPORT_NAME, unless both sides said NO_ZEROES. */
const EXPORT_NAME_ZEROES = 124;

export interface OptionHeader {
  readonly option: number;
  /** Bytes of the option's data, as the client says: up to 2^32 - 1. */
  readonly length: number;
}

/** NBDMAGIC, IHAVEOPT, handshake flags. */
export function encodeGreeting(handshakeFlags: number): Buffer {
  const bytes = Buffer.allocUnsafe(18);
  bytes.writeBigUInt64BE(NBD_MAGIC, 0);
  bytes.writeBigUInt64BE(NBD_OPTS_MAGIC, 8);
  bytes.writeUInt16BE(handshakeFlags, 16);
  return bytes;
}

/** @throws ProtocolError VB_NBD_SERVER_PROTOCOL when the client is not one of fixed newstyle */
export function decodeClientFlags(bytes: Buffer): number {
  const flags = bytes.readUInt32BE(0);
  if (!hasFlag(flags, NBD_FLAG_FIXED_NEWSTYLE)) {
    throw new ProtocolError('VB_NBD_SERVER_PROTOCOL', `client flags 0x${flags.toString(16)} lack fixed newstyle`, 0);
  }
  return flags;
}

/**
 * ```text
 * u64 IHAVEOPT | u32 option | u32 length | data
 * ```
 * @throws ProtocolError VB_NBD_SERVER_PROTOCOL on another magic
 */
export function decodeOptionHeader(bytes: Buffer): OptionHeader {
  if (bytes.readBigUInt64BE(0) !== NBD_OPTS_MAGIC) {
    throw new ProtocolError('VB_NBD_SERVER_PROTOCOL', `option magic is 0x${bytes.toString('hex', 0, 8)}`, 0);
  }
  return { option: bytes.readUInt32BE(8), length: bytes.readUInt32BE(12) };
}

/** One reply to an option, with its data. */
export function encodeOptionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.allocUnsafe(20);
  header.writeBigUInt64BE(NBD_REP_MAGIC, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(type, 12);
  header.writeUInt32BE(data.length, 16);
  return Buffer.concat([header, data]);
}

/** The answer to NBD_OPT_EXPORT_NAME, the only one without a reply header. */
export function encodeExportNameReply(size: number, transmissionFlags: number, zeroes: boolean): Buffer {
  const bytes = Buffer.alloc(10 + (zeroes ? EXPORT_NAME_ZEROES : 0));
  bytes.writeUInt16BE(transmissionFlags, writeUInt64BE(bytes, size, 0));
  return bytes;
}

/** NBD_INFO_EXPORT */
export function encodeInfoExport(size: number, transmissionFlags: number): Buffer {
  const bytes = Buffer.allocUnsafe(12);
  bytes.writeUInt16BE(NBD_INFO_EXPORT, 0);
  bytes.writeUInt16BE(transmissionFlags, writeUInt64BE(bytes, size, 2));
  return bytes;
}

/** NBD_INFO_BLOCK_SIZE. All in bytes. */
export function encodeInfoBlockSize(sizes: { minimum: number; preferred: number; maximum: number }): Buffer {
  const bytes = Buffer.allocUnsafe(14);
  bytes.writeUInt16BE(NBD_INFO_BLOCK_SIZE, 0);
  bytes.writeUInt32BE(sizes.minimum, 2);
  bytes.writeUInt32BE(sizes.preferred, 6);
  bytes.writeUInt32BE(sizes.maximum, 10);
  return bytes;
}

/** NBD_INFO_NAME */
export const encodeInfoName = (name: string): Buffer => encodeInfoText(NBD_INFO_NAME, name);

/** NBD_INFO_DESCRIPTION */
export const encodeInfoDescription = (text: string): Buffer => encodeInfoText(NBD_INFO_DESCRIPTION, text);

function encodeInfoText(type: number, text: string): Buffer {
  const head = Buffer.allocUnsafe(2);
  head.writeUInt16BE(type, 0);
  return Buffer.concat([head, boundedText(text)]);
}

/** The data of NBD_REP_SERVER: a name, and what it is for people. */
export function encodeServerEntry(name: string, description = ''): Buffer {
  const length = Buffer.allocUnsafe(4);
  const bytes = boundedText(name);
  length.writeUInt32BE(bytes.length, 0);
  return Buffer.concat([length, bytes, boundedText(description)]);
}

/** The data of NBD_REP_META_CONTEXT. */
export function encodeMetaContext(id: number, name: string): Buffer {
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(id, 0);
  return Buffer.concat([head, Buffer.from(name)]);
}

/** An error's text for people, cut to what the protocol allows. */
export const boundedText = (text: string): Buffer => Buffer.from(text).subarray(0, NBD_MAX_STRING);

export interface InfoRequest {
  readonly name: string;
  /** The NBD_INFO_… that the client asks for. */
  readonly items: readonly number[];
}

/**
 * The data of NBD_OPT_INFO and NBD_OPT_GO. Undefined when it is not well-formed.
 * ```text
 * u32 name length | name | u16 count | u16 item …
 * ```
 */
export function decodeInfoRequest(data: Buffer): InfoRequest | undefined {
  const name = takeString(data, 0);
  if (name === undefined || data.length < name.end + 2) return undefined;
  const count = data.readUInt16BE(name.end);
  if (data.length !== name.end + 2 + count * 2) return undefined;
  const items = Array.from({ length: count }, (_, index) => data.readUInt16BE(name.end + 2 + index * 2));
  return { name: name.text, items };
}

export interface MetaContextRequest {
  readonly exportName: string;
  readonly queries: readonly string[];
}

/**
 * The data of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT. Undefined when it is not well-formed.
 * ```text
 * u32 name length | name | u32 count | (u32 length | query) …
 * ```
 */
export function decodeMetaContextRequest(data: Buffer): MetaContextRequest | undefined {
  const name = takeString(data, 0);
  if (name === undefined || data.length < name.end + 4) return undefined;
  const count = data.readUInt32BE(name.end);
  const queries: string[] = [];
  let at = name.end + 4;
  // Every query takes four bytes at least, so that a lying count ends at the end of the data.
  while (queries.length < count) {
    const query = takeString(data, at);
    if (query === undefined) return undefined;
    queries.push(query.text);
    at = query.end;
  }
  return at === data.length ? { exportName: name.text, queries } : undefined;
}

function takeString(data: Buffer, at: number): { text: string; end: number } | undefined {
  if (data.length < at + 4) return undefined;
  const length = data.readUInt32BE(at);
  const end = at + 4 + length;
  if (length > NBD_MAX_STRING || data.length < end) return undefined;
  return { text: data.toString('utf8', at + 4, end), end };
}
