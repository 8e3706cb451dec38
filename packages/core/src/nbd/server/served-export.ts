import { joinFlags } from '../protocol-flags.js';
import {
  NBD_DEFAULT_MAXIMUM_REQUEST,
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_SEND_DF,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
} from '../words.js';
import type { NbdExport } from './export.js';

const DEFAULT_PREFERRED_BLOCK = 4096;

/** What the handshake agreed on. */
export interface Agreement {
  readonly disk: NbdExport;
  /** The client takes structured replies. */
  readonly structured: boolean;
  /** Names of the selected meta contexts; the index is the id. */
  readonly contexts: readonly string[];
}

/** In bytes; `maximum` is for reads and writes. */
export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

/** What a client is told about an export before its first request. */
export function transmissionFlags(disk: NbdExport, structured: boolean): number {
  const writable = isWritable(disk);
  return joinFlags(
    NBD_FLAG_HAS_FLAGS,
    writable ? 0 : NBD_FLAG_READ_ONLY,
    disk.flush === undefined ? 0 : NBD_FLAG_SEND_FLUSH,
    canFua(disk) ? NBD_FLAG_SEND_FUA : 0,
    writable && disk.trim !== undefined ? NBD_FLAG_SEND_TRIM : 0,
    writable && disk.zero !== undefined ? NBD_FLAG_SEND_WRITE_ZEROES : 0,
    structured ? NBD_FLAG_SEND_DF : 0,
    disk.multiConn === true ? NBD_FLAG_CAN_MULTI_CONN : 0,
  );
}

export const isWritable = (disk: NbdExport): boolean => !disk.readOnly && disk.write !== undefined;

/** An export that can flush can make a single write durable too. */
export const canFua = (disk: NbdExport): boolean => isWritable(disk) && disk.flush !== undefined;

export function blockSizes(disk: NbdExport, maximumRequest = NBD_DEFAULT_MAXIMUM_REQUEST): BlockSizes {
  const minimum = disk.minimumBlock ?? 1;
  const maximum = Math.min(disk.maximumBlock ?? maximumRequest, maximumRequest);
  return {
    minimum,
    preferred: disk.preferredBlock ?? Math.max(minimum, DEFAULT_PREFERRED_BLOCK),
    maximum: Math.max(minimum, Math.floor(maximum / minimum) * minimum),
  };
}
