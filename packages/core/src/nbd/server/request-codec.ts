import { writeUInt64BE } from '../../bytes/index.js';
import { ProtocolError } from '../../errors/index.js';
import {
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REQUEST_MAGIC,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
} from '../words.js';
import type { ContextExtent } from './export.js';
import { boundedText } from './option-codec.js';

// Both directions of the transmission phase as a server sees it: doc/proto.md, "Transmission".

export const REQUEST_LENGTH = 28;
const CHUNK_HEADER_LENGTH = 20;

export interface NbdRequest {
  readonly flags: number;
  readonly type: number;
  /** Opaque; comes back in every reply. */
  readonly cookie: bigint;
  /** Bytes. Infinity where it is beyond 2^53 - 1, which is beyond every export as well. */
  readonly offset: number;
  /** Bytes, up to 2^32 - 1. */
  readonly length: number;
}

/**
 * ```text
 * u32 magic | u16 flags | u16 type | u64 cookie | u64 offset | u32 length
 * ```
 * @throws ProtocolError VB_NBD_SERVER_PROTOCOL on another magic
 */
export function decodeRequest(bytes: Buffer): NbdRequest {
  const magic = bytes.readUInt32BE(0);
  if (magic !== NBD_REQUEST_MAGIC) {
    throw new ProtocolError('VB_NBD_SERVER_PROTOCOL', `request magic is 0x${magic.toString(16)}`, 0);
  }
  const offset = bytes.readUInt32BE(16) * 0x1_0000_0000 + bytes.readUInt32BE(20);
  return {
    flags: bytes.readUInt16BE(4),
    type: bytes.readUInt16BE(6),
    cookie: bytes.readBigUInt64BE(8),
    offset: offset > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : offset,
    length: bytes.readUInt32BE(24),
  };
}

/** A simple reply's header; `error` 0 is success, and a read's bytes follow it. */
export function encodeSimpleReply(cookie: bigint, error: number): Buffer {
  const bytes = Buffer.allocUnsafe(16);
  bytes.writeUInt32BE(NBD_SIMPLE_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(error, 4);
  bytes.writeBigUInt64BE(cookie, 8);
  return bytes;
}

/** NBD_REPLY_TYPE_NONE, which ends the reply. */
export const encodeDoneChunk = (cookie: bigint): Buffer =>
  encodeChunk({ cookie, type: NBD_REPLY_TYPE_NONE, done: true, length: 0 });

/** The head of NBD_REPLY_TYPE_OFFSET_DATA, which ends the reply; `length` bytes of content follow it. */
export function encodeDataChunkHead(cookie: bigint, range: { offset: number; length: number }): Buffer {
  const head = encodeChunk({
    cookie,
    type: NBD_REPLY_TYPE_OFFSET_DATA,
    done: true,
    length: 8 + range.length,
    inline: 8,
  });
  writeUInt64BE(head, range.offset, CHUNK_HEADER_LENGTH);
  return head;
}

/** NBD_REPLY_TYPE_ERROR, which ends the reply, with a text for people. */
export function encodeErrorChunk(cookie: bigint, error: number, message: string): Buffer {
  const text = boundedText(message);
  const length = 6 + text.length;
  const chunk = encodeChunk({ cookie, type: NBD_REPLY_TYPE_ERROR, done: true, length, inline: length });
  chunk.writeUInt32BE(error, CHUNK_HEADER_LENGTH);
  chunk.writeUInt16BE(text.length, CHUNK_HEADER_LENGTH + 4);
  text.copy(chunk, CHUNK_HEADER_LENGTH + 6);
  return chunk;
}

/** NBD_REPLY_TYPE_BLOCK_STATUS: the extents of one meta context, from the request's offset on. */
export function encodeBlockStatus(
  cookie: bigint,
  status: { readonly contextId: number; readonly extents: readonly ContextExtent[]; readonly done: boolean },
): Buffer {
  const length = 4 + status.extents.length * 8;
  const chunk = encodeChunk({ cookie, type: NBD_REPLY_TYPE_BLOCK_STATUS, done: status.done, length, inline: length });
  let at = chunk.writeUInt32BE(status.contextId, CHUNK_HEADER_LENGTH);
  for (const extent of status.extents) {
    at = chunk.writeUInt32BE(extent.length, at);
    at = chunk.writeUInt32BE(extent.flags, at);
  }
  return chunk;
}

interface Chunk {
  readonly cookie: bigint;
  readonly type: number;
  readonly done: boolean;
  /** What the header says. */
  readonly length: number;
  /** How much of it the caller fills into the same buffer. */
  readonly inline?: number;
}

function encodeChunk(chunk: Chunk): Buffer {
  const bytes = Buffer.allocUnsafe(CHUNK_HEADER_LENGTH + (chunk.inline ?? 0));
  bytes.writeUInt32BE(NBD_STRUCTURED_REPLY_MAGIC, 0);
  bytes.writeUInt16BE(chunk.done ? NBD_REPLY_FLAG_DONE : 0, 4);
  bytes.writeUInt16BE(chunk.type, 6);
  bytes.writeBigUInt64BE(chunk.cookie, 8);
  bytes.writeUInt32BE(chunk.length, 16);
  return bytes;
}
