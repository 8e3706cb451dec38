import { writeUInt64BE } from '../bytes/index.js';
import { NBD_REQUEST_MAGIC } from './words.js';

/** Bytes of a request's header. */
export const REQUEST_LENGTH = 28;

/** One request, as the wire has it. */
export interface Request {
  /** Chosen by the client, unique among the requests in flight; comes back in every reply. */
  readonly cookie: bigint;
  /** NBD_CMD_… */
  readonly command: number;
  /** NBD_CMD_FLAG_… */
  readonly flags: number;
  readonly offset: number;
  /** Less than 2^32. */
  readonly length: number;
}

/**
 * Writes a request's header; the payload of a WRITE follows it.
 *
 *     32 bits  NBD_REQUEST_MAGIC
 *     16 bits  command flags
 *     16 bits  command
 *     64 bits  cookie
 *     64 bits  offset
 *     32 bits  length
 *
 * @returns the place behind it
 */
export function encodeRequest(request: Request, bytes: Buffer, at: number): number {
  bytes.writeUInt32BE(NBD_REQUEST_MAGIC, at);
  bytes.writeUInt16BE(request.flags, at + 4);
  bytes.writeUInt16BE(request.command, at + 6);
  bytes.writeBigUInt64BE(request.cookie, at + 8);
  writeUInt64BE(bytes, request.offset, at + 16);
  return bytes.writeUInt32BE(request.length, at + 24);
}
