import { ProtocolError, VBackupError } from '../errors/index.js';
import type { Dialogue } from './dialogue.js';
import {
  NBD_MAX_STRING,
  NBD_OPTS_MAGIC,
  NBD_REP_ERR_BLOCK_SIZE_REQD,
  NBD_REP_ERR_INVALID,
  NBD_REP_ERR_PLATFORM,
  NBD_REP_ERR_POLICY,
  NBD_REP_ERR_SHUTDOWN,
  NBD_REP_ERR_TLS_REQD,
  NBD_REP_ERR_TOO_BIG,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_MAGIC,
} from './words.js';

/** Two strings (name and description) and their lengths: no reply of the protocol is longer. */
const MAX_OPTION_REPLY = 2 * NBD_MAX_STRING + 64;
const MAX_MESSAGE = 512;

const ERROR_NAMES: ReadonlyMap<number, string> = new Map([
  [NBD_REP_ERR_UNSUP, 'NBD_REP_ERR_UNSUP'],
  [NBD_REP_ERR_POLICY, 'NBD_REP_ERR_POLICY'],
  [NBD_REP_ERR_INVALID, 'NBD_REP_ERR_INVALID'],
  [NBD_REP_ERR_PLATFORM, 'NBD_REP_ERR_PLATFORM'],
  [NBD_REP_ERR_TLS_REQD, 'NBD_REP_ERR_TLS_REQD'],
  [NBD_REP_ERR_UNKNOWN, 'NBD_REP_ERR_UNKNOWN'],
  [NBD_REP_ERR_SHUTDOWN, 'NBD_REP_ERR_SHUTDOWN'],
  [NBD_REP_ERR_BLOCK_SIZE_REQD, 'NBD_REP_ERR_BLOCK_SIZE_REQD'],
  [NBD_REP_ERR_TOO_BIG, 'NBD_REP_ERR_TOO_BIG'],
]);

/** One reply to an option (doc/proto.md, "Fixed newstyle negotiation"). */
export interface OptionReply {
  readonly option: number;
  readonly type: number;
  readonly data: Buffer;
}

/**
 * An option as the client sends it.
 *
 *     64 bits  IHAVEOPT
 *     32 bits  option
 *     32 bits  length of data
 *     …        data
 */
export function encodeOption(option: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(16 + data.length);
  bytes.writeBigUInt64BE(NBD_OPTS_MAGIC, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(data.length, 12);
  data.copy(bytes, 16);
  return bytes;
}

/** A string with its length in front: 32 bits, then UTF-8. */
export function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length > NBD_MAX_STRING) {
    throw new VBackupError('VB_INVALID_ARGUMENT', `cannot send a string of ${bytes.length} bytes to an NBD server`);
  }
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/**
 * Reads one reply to `option`.
 *
 *     64 bits  NBD_REP_MAGIC
 *     32 bits  option
 *     32 bits  reply type; errors have bit 31
 *     32 bits  length of data
 *     …        data
 *
 * @throws ProtocolError VB_NBD_OPTION_REPLY
 */
export function* readOptionReply(option: number): Dialogue<OptionReply> {
  const header = yield { read: 20 };
  if (header.readBigUInt64BE(0) !== NBD_REP_MAGIC) throw malformed(option, 'has no reply magic');
  if (header.readUInt32BE(8) !== option) throw malformed(option, `answers option ${header.readUInt32BE(8)}`);
  const type = header.readUInt32BE(12);
  const length = header.readUInt32BE(16);
  if (length > MAX_OPTION_REPLY) throw malformed(option, `is ${length} bytes long`);
  const data = length === 0 ? Buffer.alloc(0) : yield { read: length };
  return { option, type, data };
}

export const isOptionError = (reply: OptionReply): boolean => reply.type >= 0x80000000;

/** The server's refusal for people: the name of the error, and its message without control characters. */
export function refusalText(reply: OptionReply): string {
  const name = ERROR_NAMES.get(reply.type) ?? `error 0x${reply.type.toString(16)}`;
  const message = printable(reply.data);
  return message === '' ? name : `${name}: ${message}`;
}

/** A text of the peer, bounded, with control characters replaced. */
export function printable(bytes: Buffer): string {
  return bytes.subarray(0, MAX_MESSAGE).toString('utf8').replace(/\p{C}/gu, '?').trim();
}

export function malformed(option: number, fault: string): ProtocolError {
  return new ProtocolError('VB_NBD_OPTION_REPLY', `NBD server's reply to option ${option} ${fault}`, 0);
}
