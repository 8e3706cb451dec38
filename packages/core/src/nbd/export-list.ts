import { UnsupportedError, VBackupError } from '../errors/index.js';
import type { Dialogue } from './dialogue.js';
import { greet, refuseClearText } from './handshake.js';
import {
  encodeOption,
  isOptionError,
  malformed,
  type OptionReply,
  readOptionReply,
  refusalText,
} from './option-reply.js';
import { NBD_MAX_STRING, NBD_OPT_LIST, NBD_REP_ACK, NBD_REP_ERR_UNSUP, NBD_REP_SERVER } from './words.js';

/** More exports than this are refused: a list without end must not fill the memory. */
export const MAX_LISTED_EXPORTS = 10_000;

export interface ListedExport {
  readonly name: string;
  /** For people; may be empty. */
  readonly description: string;
}

/**
 * Asks for the names of all exports (doc/proto.md, "NBD_OPT_LIST").
 * @throws UnsupportedError VB_UNSUPPORTED if the server does not list
 * @throws VBackupError VB_NBD_LIST_REFUSED
 */
export function* list(options: { readonly tls: boolean }): Dialogue<readonly ListedExport[]> {
  const greeting = yield* greet(options);
  if (!greeting.fixed) throw new UnsupportedError('VB_UNSUPPORTED', 'the NBD server cannot list its exports');
  yield { write: encodeOption(NBD_OPT_LIST) };
  const exports: ListedExport[] = [];
  for (;;) {
    const reply = yield* readOptionReply(NBD_OPT_LIST);
    if (reply.type === NBD_REP_ACK) return exports;
    refuseClearText(reply);
    if (reply.type === NBD_REP_ERR_UNSUP) {
      throw new UnsupportedError('VB_UNSUPPORTED', 'the NBD server cannot list its exports');
    }
    if (isOptionError(reply)) {
      throw new VBackupError('VB_NBD_LIST_REFUSED', `the NBD server does not list its exports: ${refusalText(reply)}`);
    }
    if (exports.length >= MAX_LISTED_EXPORTS) throw malformed(NBD_OPT_LIST, 'has too many exports');
    exports.push(decodeExport(reply));
  }
}

function decodeExport(reply: OptionReply): ListedExport {
  if (reply.type !== NBD_REP_SERVER || reply.data.length < 4) throw malformed(reply.option, 'is no export');
  const length = reply.data.readUInt32BE(0);
  if (length > reply.data.length - 4 || length > NBD_MAX_STRING) {
    throw malformed(reply.option, 'has a name that is longer than itself');
  }
  return { name: reply.data.toString('utf8', 4, 4 + length), description: reply.data.toString('utf8', 4 + length) };
}
