import { ProtocolError, VBackupError } from '../errors/index.js';
import type { Dialogue } from './dialogue.js';
import {
  encodeOption,
  isOptionError,
  malformed,
  type OptionReply,
  readOptionReply,
  refusalText,
} from './option-reply.js';
import { hasFlag, joinFlags } from './protocol-flags.js';
import {
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_MAGIC,
  NBD_OLDSTYLE_MAGIC,
  NBD_OPT_STARTTLS,
  NBD_OPTS_MAGIC,
  NBD_REP_ACK,
  NBD_REP_ERR_TLS_REQD,
} from './words.js';

/** What both sides agreed on before the first option. */
export interface Greeting {
  /** Options other than EXPORT_NAME may be sent. */
  readonly fixed: boolean;
  /** The 124 zero bytes after EXPORT_NAME are left out. */
  readonly noZeroes: boolean;
}

/**
 * Reads the server's greeting and answers with the client's flags; with `tls`, also moves into TLS, as the first option,
 * so that nothing else is said in clear.
 *
 *     64 bits  NBDMAGIC
 *     64 bits  IHAVEOPT
 *     16 bits  handshake flags
 *
 * @throws ProtocolError VB_NBD_NOT_A_SERVER
 * @throws VBackupError VB_NBD_OLDSTYLE, VB_NBD_TLS_UNAVAILABLE
 */
export function* greet(options: { readonly tls: boolean }): Dialogue<Greeting> {
  const magic = yield { read: 8 };
  if (magic.readBigUInt64BE() !== NBD_MAGIC) {
    throw new ProtocolError('VB_NBD_NOT_A_SERVER', 'the peer is not an NBD server', 0);
  }
  const style = yield { read: 8 };
  if (style.readBigUInt64BE() === NBD_OLDSTYLE_MAGIC) {
    throw new VBackupError('VB_NBD_OLDSTYLE', 'the NBD server speaks only the oldstyle negotiation');
  }
  if (style.readBigUInt64BE() !== NBD_OPTS_MAGIC) {
    throw new ProtocolError('VB_NBD_NOT_A_SERVER', 'the peer sent no negotiation that NBD knows', 8);
  }
  const flags = (yield { read: 2 }).readUInt16BE();
  const fixed = hasFlag(flags, NBD_FLAG_FIXED_NEWSTYLE);
  const noZeroes = hasFlag(flags, NBD_FLAG_NO_ZEROES);
  const answer = Buffer.alloc(4);
  answer.writeUInt32BE(joinFlags(fixed ? NBD_FLAG_FIXED_NEWSTYLE : 0, noZeroes ? NBD_FLAG_NO_ZEROES : 0));
  yield { write: answer };
  if (options.tls) yield* startTls(fixed);
  return { fixed, noZeroes };
}

function* startTls(fixed: boolean): Dialogue<void> {
  if (!fixed) throw tlsUnavailable('it does not speak fixed newstyle');
  yield { write: encodeOption(NBD_OPT_STARTTLS) };
  const reply = yield* readOptionReply(NBD_OPT_STARTTLS);
  if (isOptionError(reply)) throw tlsUnavailable(refusalText(reply));
  if (reply.type !== NBD_REP_ACK || reply.data.length > 0) throw malformed(NBD_OPT_STARTTLS, 'is no acknowledgement');
  yield { startTls: true };
}

function tlsUnavailable(reason: string): VBackupError {
  return new VBackupError('VB_NBD_TLS_UNAVAILABLE', `the NBD server offers no TLS, which was demanded: ${reason}`);
}

/** @throws VBackupError VB_NBD_TLS_REQUIRED if `reply` says that nothing goes without TLS. */
export function refuseClearText(reply: OptionReply): void {
  if (reply.type !== NBD_REP_ERR_TLS_REQD) return;
  throw new VBackupError('VB_NBD_TLS_REQUIRED', 'the NBD server demands TLS, and none was configured');
}
