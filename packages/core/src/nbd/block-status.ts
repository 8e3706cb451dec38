import { ProtocolError } from '../errors/index.js';
import { type AllocationExtent, type Extent, endOf } from '../extent/index.js';
import type { BlockLimits } from '../hypervisor/index.js';
import type { JobSpecification } from './job.js';
import { checkRange } from './limits.js';
import { allocationKind } from './protocol-flags.js';
import type { Reply, StatusExtent } from './reply.js';
import { NBD_CMD_BLOCK_STATUS } from './words.js';

/** One request asks about at most this much: half of what 32 bits hold, so that no server takes it for negative. */
const STATUS_LENGTH = 2 ** 30;

export interface StatusSource {
  /** Name of the meta context. */
  readonly context: string;
  readonly device: { readonly size: number; readonly limits: BlockLimits };
  readonly request: (specification: JobSpecification) => Promise<Reply>;
}

/**
 * Asks for one context, request after request; each goes on where the answer before it ended, which may be long before
 * the end of what was asked. Neighbours with the same flags become one extent.
 */
export async function* readStatus(range: Extent, source: StatusSource): AsyncGenerator<StatusExtent> {
  const { alignment } = source.device.limits;
  const end = endOf(range);
  let position = range.offset;
  let held: StatusExtent | undefined;
  while (position < end) {
    const offset = Math.floor(position / alignment) * alignment;
    const length = Math.min(Math.ceil(end / alignment) * alignment - offset, STATUS_LENGTH);
    checkRange({ offset, length }, source.device);
    const reply = await source.request({ command: NBD_CMD_BLOCK_STATUS, offset, length });
    const start = position;
    for (const extent of answerOf(reply, source.context)) {
      const from = Math.max(extent.offset, start);
      const piece = { offset: from, length: Math.min(endOf(extent), end) - from, flags: extent.flags };
      if (piece.length <= 0) continue;
      position = endOf(piece);
      if (held?.flags === piece.flags) {
        held = { ...held, length: held.length + piece.length };
        continue;
      }
      if (held !== undefined) yield held;
      held = piece;
    }
    if (position === start) throw broken(reply, 'does not get ahead');
  }
  if (held !== undefined) yield held;
}

/** Extents of `base:allocation` as data, zero and hole. */
export async function* readAllocation(extents: AsyncIterable<StatusExtent>): AsyncGenerator<AllocationExtent> {
  let held: AllocationExtent | undefined;
  for await (const { offset, length, flags } of extents) {
    const kind = allocationKind(flags);
    if (held?.kind === kind) {
      held = { ...held, length: held.length + length };
      continue;
    }
    if (held !== undefined) yield held;
    held = { offset, length, kind };
  }
  if (held !== undefined) yield held;
}

function answerOf(reply: Reply, context: string): readonly StatusExtent[] {
  const extents = reply.statusOf(context);
  if (extents === undefined) throw broken(reply, 'leaves out a context that was agreed on');
  return extents;
}

function broken(reply: Reply, fault: string): ProtocolError {
  const message = `NBD server's answer to "${reply.what}" ${fault}`;
  return new ProtocolError('VB_NBD_REPLY_STATUS', message, reply.request.offset);
}
