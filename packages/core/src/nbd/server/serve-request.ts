import { VBackupError } from '../../errors/index.js';
import type { Extent } from '../../extent/index.js';
import { hasFlag } from '../protocol-flags.js';
import {
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLAG_REQ_ONE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
} from '../words.js';
import type { ContextExtent } from './export.js';
import {
  encodeBlockStatus,
  encodeDataChunkHead,
  encodeDoneChunk,
  encodeSimpleReply,
  type NbdRequest,
} from './request-codec.js';
import type { Agreement } from './served-export.js';

/** The most extents of one context in one reply; a client asks again for the rest. */
const MAXIMUM_STATUS_EXTENTS = 16_384;
/** And of all contexts together: a client may have chosen a thousand. */
const MAXIMUM_STATUS_EXTENTS_OF_ALL = 16 * MAXIMUM_STATUS_EXTENTS;
/** What one of them takes in memory until its reply has left: the object, and its eight bytes in the reply. */
const STATUS_EXTENT_BYTES = 64;

/** Bytes of memory that a request which carries nothing itself holds until its reply has left. */
export function bytesHeldBy(request: NbdRequest, { contexts }: Agreement): number {
  if (request.type === NBD_CMD_READ) return request.length;
  if (request.type !== NBD_CMD_BLOCK_STATUS) return 0;
  return contexts.length * Math.min(request.length, maximumExtents(request, contexts)) * STATUS_EXTENT_BYTES;
}

/** For each context. */
function maximumExtents({ flags }: NbdRequest, contexts: readonly string[]): number {
  if (hasFlag(flags, NBD_CMD_FLAG_REQ_ONE)) return 1;
  const share = Math.floor(MAXIMUM_STATUS_EXTENTS_OF_ALL / Math.max(1, contexts.length));
  return Math.max(1, Math.min(MAXIMUM_STATUS_EXTENTS, share));
}

/**
 * Does what one request asks of its export, and gives the reply to a success. `bytes` is what a write brought, or the
 * place for what a read asks for; the reply refers to it.
 */
export async function serveRequest(
  request: NbdRequest,
  bytes: Buffer,
  context: Agreement & { readonly signal: AbortSignal },
): Promise<readonly Buffer[]> {
  const { disk, signal } = context;
  switch (request.type) {
    case NBD_CMD_READ:
      if (bytes.length > 0) await disk.read(request.offset, bytes, { signal });
      return readReply(request, [bytes], context);
    case NBD_CMD_BLOCK_STATUS:
      return await statusReply(request, context);
    case NBD_CMD_FLUSH:
      await disk.flush?.({ signal });
      break;
    default:
      if (request.length > 0) await change(request, bytes, context);
  }
  return [encodeSimpleReply(request.cookie, 0)];
}

/** The reply to a read; it refers to `content`. */
export function readReply(
  request: NbdRequest,
  content: readonly Buffer[],
  { structured }: Agreement,
): readonly Buffer[] {
  const { cookie, length } = request;
  if (!structured) return [encodeSimpleReply(cookie, 0), ...content];
  // A chunk of content holds one byte at least.
  return length === 0 ? [encodeDoneChunk(cookie)] : [encodeDataChunkHead(cookie, request), ...content];
}

async function change(
  request: NbdRequest,
  bytes: Buffer,
  { disk, signal }: Agreement & { readonly signal: AbortSignal },
): Promise<void> {
  const range = { offset: request.offset, length: request.length };
  const fua = hasFlag(request.flags, NBD_CMD_FLAG_FUA);
  if (request.type === NBD_CMD_WRITE) await disk.write?.(range.offset, bytes, { signal, fua });
  else if (request.type === NBD_CMD_TRIM) await disk.trim?.(range, { signal, fua });
  else if (request.type === NBD_CMD_WRITE_ZEROES) {
    await disk.zero?.(range, { signal, fua, hole: !hasFlag(request.flags, NBD_CMD_FLAG_NO_HOLE) });
  }
}

/** One chunk per selected context, each with a position of its own. */
async function statusReply(
  request: NbdRequest,
  { disk, contexts, signal }: Agreement & { readonly signal: AbortSignal },
): Promise<Buffer[]> {
  const range = { offset: request.offset, length: request.length };
  const maximum = maximumExtents(request, contexts);
  const chunks: Buffer[] = [];
  for (const [contextId, name] of contexts.entries()) {
    const extents = fit((await disk.status?.(name, range, { signal, maximum })) ?? [], range, maximum);
    const done = contextId === contexts.length - 1;
    chunks.push(encodeBlockStatus(request.cookie, { contextId, extents, done }));
  }
  return chunks;
}

/** Joins neighbours of equal flags and cuts what lies behind the range, or beyond `maximum` extents. */
function fit(extents: readonly ContextExtent[], range: Extent, maximum: number): ContextExtent[] {
  const fitted: { length: number; flags: number }[] = [];
  let left = range.length;
  for (const extent of extents) {
    if (left === 0) break;
    const length = Math.min(extent.length, left);
    if (!(length > 0)) throw new VBackupError('VB_INTERNAL', `block status of ${extent.length} bytes`);
    const last = fitted.at(-1);
    if (last?.flags === extent.flags) last.length += length;
    else if (fitted.length === maximum) break;
    else fitted.push({ length, flags: extent.flags });
    left -= length;
  }
  if (fitted.length === 0) throw new VBackupError('VB_INTERNAL', `no block status at ${range.offset}`);
  return fitted;
}
