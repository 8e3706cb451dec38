import { readUInt64BE } from '../bytes/index.js';
import { VBackupError } from '../errors/index.js';
import type { Dialogue } from './dialogue.js';
import { type Greeting, greet, refuseClearText } from './handshake.js';
import {
  encodeOption,
  encodeString,
  isOptionError,
  malformed,
  type OptionReply,
  readOptionReply,
  refusalText,
} from './option-reply.js';
import {
  NBD_INFO_BLOCK_SIZE,
  NBD_INFO_EXPORT,
  NBD_MAX_STRING,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
} from './words.js';

/** No server has more contexts for one export than this; more replies than asked for are refused. */
export const MAX_META_CONTEXTS = 64;
const MAX_INFO_REPLIES = 64;

export interface NegotiationOptions {
  readonly exportName: string;
  /** How messages name the export; without the name where that is a secret. */
  readonly label: string;
  readonly tls: boolean;
  readonly metaContexts: readonly string[];
}

/** Block sizes as the server announced them, in bytes. */
export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

/** What is known about an export when transmission begins. */
export interface ExportInformation {
  readonly size: number;
  /** Transmission flags, NBD_FLAG_… */
  readonly flags: number;
  readonly blockSizes: BlockSizes | undefined;
}

export interface Negotiated extends ExportInformation {
  /** Structured replies were agreed on: READ is answered in chunks. */
  readonly structured: boolean;
  /** Name of every meta context that the server will report, by its id. */
  readonly contexts: ReadonlyMap<number, string>;
}

/**
 * Everything from the first byte to transmission: the greeting, TLS where demanded, structured replies, meta contexts,
 * and GO; with a server that has no GO, EXPORT_NAME (doc/proto.md, "Handshake").
 * @throws ProtocolError VB_NBD_NOT_A_SERVER, VB_NBD_OPTION_REPLY
 * @throws VBackupError VB_NBD_OLDSTYLE, VB_NBD_TLS_UNAVAILABLE, VB_NBD_TLS_REQUIRED, VB_NBD_EXPORT_NOT_FOUND,
 *   VB_NBD_EXPORT_REFUSED, VB_NUMBER_TOO_LARGE
 */
export function* negotiate(options: NegotiationOptions): Dialogue<Negotiated> {
  const greeting = yield* greet(options);
  if (!greeting.fixed) return { ...(yield* enterByName(greeting, options)), structured: false, contexts: new Map() };
  const structured = yield* agreeOnStructuredReplies();
  const contexts = structured ? yield* selectContexts(options) : new Map<number, string>();
  const information = (yield* ask(NBD_OPT_GO, options)) ?? (yield* enterByName(greeting, options));
  return { ...information, structured, contexts };
}

/**
 * Asks for an export's size and flags without entering it.
 * @throws UnsupportedError where the server has no NBD_OPT_INFO, and everything that {@link negotiate} throws
 */
export function* inquire(options: NegotiationOptions): Dialogue<ExportInformation | undefined> {
  const greeting = yield* greet(options);
  return greeting.fixed ? yield* ask(NBD_OPT_INFO, options) : undefined;
}

function* agreeOnStructuredReplies(): Dialogue<boolean> {
  yield { write: encodeOption(NBD_OPT_STRUCTURED_REPLY) };
  const reply = yield* readOptionReply(NBD_OPT_STRUCTURED_REPLY);
  refuseClearText(reply);
  if (reply.type === NBD_REP_ACK) return true;
  if (isOptionError(reply)) return false;
  throw malformed(NBD_OPT_STRUCTURED_REPLY, `has type ${reply.type}`);
}

function* selectContexts(options: NegotiationOptions): Dialogue<Map<number, string>> {
  const contexts = new Map<number, string>();
  if (options.metaContexts.length === 0) return contexts;
  const count = Buffer.alloc(4);
  count.writeUInt32BE(options.metaContexts.length);
  const data = Buffer.concat([encodeString(options.exportName), count, ...options.metaContexts.map(encodeString)]);
  yield { write: encodeOption(NBD_OPT_SET_META_CONTEXT, data) };
  for (;;) {
    const reply = yield* readOptionReply(NBD_OPT_SET_META_CONTEXT);
    if (reply.type === NBD_REP_ACK) return contexts;
    // The export is refused by GO as well, which says why.
    if (isOptionError(reply)) return new Map();
    const { id, name } = decodeContext(reply);
    if (contexts.has(id) || contexts.size >= MAX_META_CONTEXTS) throw malformed(reply.option, 'repeats a context');
    contexts.set(id, name);
  }
}

function decodeContext(reply: OptionReply): { readonly id: number; readonly name: string } {
  if (reply.type !== NBD_REP_META_CONTEXT || reply.data.length < 5 || reply.data.length > 4 + NBD_MAX_STRING) {
    throw malformed(reply.option, 'is no meta context');
  }
  return { id: reply.data.readUInt32BE(0), name: reply.data.toString('utf8', 4) };
}

/** INFO and GO differ in the last step only. Undefined: the server has neither. */
function* ask(option: number, options: NegotiationOptions): Dialogue<ExportInformation | undefined> {
  const requests = Buffer.alloc(4);
  requests.writeUInt16BE(1, 0);
  requests.writeUInt16BE(NBD_INFO_BLOCK_SIZE, 2);
  yield { write: encodeOption(option, Buffer.concat([encodeString(options.exportName), requests])) };
  let basics: { readonly size: number; readonly flags: number } | undefined;
  let blockSizes: BlockSizes | undefined;
  for (let replies = 0; replies < MAX_INFO_REPLIES; replies++) {
    const reply = yield* readOptionReply(option);
    if (reply.type === NBD_REP_ERR_UNSUP) return undefined;
    if (isOptionError(reply)) throw refused(reply, options);
    if (reply.type === NBD_REP_ACK) {
      if (basics === undefined) throw malformed(option, 'leaves out the size of the export');
      return { ...basics, blockSizes };
    }
    if (reply.type !== NBD_REP_INFO || reply.data.length < 2) throw malformed(option, 'is no information');
    const kind = reply.data.readUInt16BE(0);
    if (kind === NBD_INFO_EXPORT) basics = decodeBasics(reply);
    if (kind === NBD_INFO_BLOCK_SIZE) blockSizes = decodeBlockSizes(reply);
  }
  throw malformed(option, 'does not end');
}

function decodeBasics(reply: OptionReply): { readonly size: number; readonly flags: number } {
  if (reply.data.length !== 12) throw malformed(reply.option, 'has an NBD_INFO_EXPORT of another length than 12');
  return { size: readUInt64BE(reply.data, 2), flags: reply.data.readUInt16BE(10) };
}

function decodeBlockSizes(reply: OptionReply): BlockSizes {
  if (reply.data.length !== 14) throw malformed(reply.option, 'has an NBD_INFO_BLOCK_SIZE of another length than 14');
  const minimum = reply.data.readUInt32BE(2);
  const preferred = reply.data.readUInt32BE(6);
  const maximum = reply.data.readUInt32BE(10);
  if (!isPowerOfTwo(minimum) || minimum > 2 ** 16 || maximum < minimum) {
    throw malformed(reply.option, `has impossible block sizes ${minimum}, ${preferred}, ${maximum}`);
  }
  return { minimum, preferred, maximum };
}

const isPowerOfTwo = (value: number): boolean => value > 0 && Number.isInteger(Math.log2(value));

function refused(reply: OptionReply, options: NegotiationOptions): VBackupError {
  refuseClearText(reply);
  const text = options.exportName === '' ? refusalText(reply) : refusalText(reply).replaceAll(options.exportName, '…');
  if (reply.type === NBD_REP_ERR_UNKNOWN) {
    return new VBackupError('VB_NBD_EXPORT_NOT_FOUND', `the NBD server does not know ${options.label} (${text})`);
  }
  return new VBackupError('VB_NBD_EXPORT_REFUSED', `the NBD server refuses ${options.label} (${text})`);
}

/**
 * EXPORT_NAME: a server that does not want to answers by closing the connection.
 *
 *     64 bits  size
 *     16 bits  transmission flags
 *     124      zeroes, unless both sides agreed to leave them out
 */
function* enterByName(greeting: Greeting, options: NegotiationOptions): Dialogue<ExportInformation> {
  yield { write: encodeOption(NBD_OPT_EXPORT_NAME, encodeString(options.exportName).subarray(4)) };
  try {
    const answer = yield { read: 10 };
    if (!greeting.noZeroes) yield { read: 124 };
    return { size: readUInt64BE(answer, 0), flags: answer.readUInt16BE(8), blockSizes: undefined };
  } catch (cause) {
    if (!(cause instanceof VBackupError) || cause.code !== 'VB_NBD_DISCONNECTED') throw cause;
    const message = `the NBD server closed the connection when asked for ${options.label}`;
    throw new VBackupError('VB_NBD_EXPORT_REFUSED', message, {
      cause,
      cure: 'check that the export exists, that the session is valid, and whether the server demands TLS',
    });
  }
}
