import { hasFlag } from './protocol-flags.js';
import {
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
} from './words.js';

/** What the server can do, as its transmission flags say. */
export interface NbdCapabilities {
  readonly readOnly: boolean;
  readonly flush: boolean;
  readonly fua: boolean;
  readonly trim: boolean;
  readonly zero: boolean;
  readonly multiConn: boolean;
}

/** Reads transmission flags (doc/proto.md, "Transmission flags"). */
export function capabilitiesOf(flags: number): NbdCapabilities {
  return {
    readOnly: hasFlag(flags, NBD_FLAG_READ_ONLY),
    flush: hasFlag(flags, NBD_FLAG_SEND_FLUSH),
    fua: hasFlag(flags, NBD_FLAG_SEND_FUA),
    trim: hasFlag(flags, NBD_FLAG_SEND_TRIM),
    zero: hasFlag(flags, NBD_FLAG_SEND_WRITE_ZEROES),
    multiConn: hasFlag(flags, NBD_FLAG_CAN_MULTI_CONN),
  };
}
