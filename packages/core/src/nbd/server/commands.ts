import type { ErrorCode } from '../../errors/index.js';
import { VBackupError } from '../../errors/index.js';
import { joinFlags, unknownFlags } from '../protocol-flags.js';
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLAG_DF,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_EINVAL,
  NBD_EIO,
  NBD_ENOMEM,
  NBD_ENOSPC,
  NBD_ENOTSUP,
  NBD_EPERM,
  NBD_ESHUTDOWN,
} from '../words.js';
import type { NbdRequest } from './request-codec.js';
import { type Agreement, type BlockSizes, canFua, isWritable } from './served-export.js';

/** Why a request is not served. */
export interface Refusal {
  /** NBD_E… */
  readonly error: number;
  readonly message: string;
}

interface Command {
  /** Flags that it takes beside NBD_CMD_FLAG_FUA. */
  readonly flags: number;
  readonly writes: boolean;
  /** It reaches over a range of the disk. */
  readonly ranged: boolean;
  /** The answer to a range beyond the end. */
  readonly beyondEnd: number;
  /** It carries content, which is bounded by the maximum block size. */
  readonly content: boolean;
  offered(agreement: Agreement): boolean;
}

const COMMANDS: ReadonlyMap<number, Command> = new Map([
  [NBD_CMD_READ, command({ flags: NBD_CMD_FLAG_DF, content: true })],
  [NBD_CMD_WRITE, command({ writes: true, content: true, beyondEnd: NBD_ENOSPC })],
  [NBD_CMD_FLUSH, command({ ranged: false, offered: ({ disk }) => disk.flush !== undefined })],
  [NBD_CMD_TRIM, command({ writes: true, offered: ({ disk }) => disk.trim !== undefined })],
  [
    NBD_CMD_WRITE_ZEROES,
    command({
      flags: NBD_CMD_FLAG_NO_HOLE,
      writes: true,
      beyondEnd: NBD_ENOSPC,
      offered: ({ disk }) => disk.zero !== undefined,
    }),
  ],
  [NBD_CMD_BLOCK_STATUS, command({ flags: NBD_CMD_FLAG_REQ_ONE, offered: ({ contexts }) => contexts.length > 0 })],
]);

/** Why a request must not reach its export, or undefined where it may: doc/proto.md, "Request types". */
export function refuse(request: NbdRequest, agreement: Agreement, sizes: BlockSizes): Refusal | undefined {
  const { disk } = agreement;
  const known = COMMANDS.get(request.type);
  if (known === undefined) return invalid(`command ${request.type} is unknown`);
  if (known.writes && !isWritable(disk)) return { error: NBD_EPERM, message: 'the export is read-only' };
  if (!known.offered(agreement)) return invalid(`command ${request.type} was not offered`);
  const flags = joinFlags(known.flags, canFua(disk) ? NBD_CMD_FLAG_FUA : 0);
  if (unknownFlags(request.flags, flags) !== 0) return invalid(`command flags 0x${request.flags.toString(16)}`);
  return known.ranged ? refuseRange(request, known, { size: disk.size, sizes }) : undefined;
}

function refuseRange(
  request: NbdRequest,
  known: Command,
  { size, sizes }: { size: number; sizes: BlockSizes },
): Refusal | undefined {
  const { offset, length } = request;
  const end = offset + length;
  if (end > size) return { error: known.beyondEnd, message: `range ${offset}+${length} is beyond the end` };
  if (length === 0 && request.type === NBD_CMD_BLOCK_STATUS) return invalid('block status of nothing');
  if (known.content && length > sizes.maximum)
    return invalid(`${length} bytes in one request, at most ${sizes.maximum}`);
  const aligned = offset % sizes.minimum === 0 && (length % sizes.minimum === 0 || end === size);
  return aligned ? undefined : invalid(`range ${offset}+${length} is not aligned to ${sizes.minimum}`);
}

const ERRORS_OF_CODES: Readonly<Partial<Record<ErrorCode, number>>> = {
  VB_NO_SPACE: NBD_ENOSPC,
  VB_ACCESS_DENIED: NBD_EPERM,
  VB_INVALID_ARGUMENT: NBD_EINVAL,
  VB_UNSUPPORTED: NBD_ENOTSUP,
  VB_ABORTED: NBD_ESHUTDOWN,
};

const ERRORS_OF_THE_SYSTEM: ReadonlyMap<unknown, number> = new Map([
  ['ENOSPC', NBD_ENOSPC],
  ['EDQUOT', NBD_ENOSPC],
  ['EFBIG', NBD_ENOSPC],
  ['EPERM', NBD_EPERM],
  ['EACCES', NBD_EPERM],
  ['EROFS', NBD_EPERM],
  ['ENOMEM', NBD_ENOMEM],
]);

/** What a client hears of an error that an export threw. Only what vbackup says on purpose is told in words. */
export function refusalOf(cause: unknown): Refusal {
  if (cause instanceof VBackupError) return { error: ERRORS_OF_CODES[cause.code] ?? NBD_EIO, message: cause.message };
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return { error: ERRORS_OF_THE_SYSTEM.get(code) ?? NBD_EIO, message: 'the export cannot do this' };
}

const invalid = (message: string): Refusal => ({ error: NBD_EINVAL, message });

function command(parts: Partial<Command>): Command {
  return {
    flags: 0,
    writes: false,
    ranged: true,
    beyondEnd: NBD_EINVAL,
    content: false,
    offered: () => true,
    ...parts,
  };
}
