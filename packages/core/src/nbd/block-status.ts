import { ProtocolError } from '../errors/index.js';
import { type AllocationExtent, type Extent, endOf } from '../extent/index.js';
import type { BlockLimits, WithSignal } from '../hypervisor/index.js';
import { askAhead } from '../memory/ask-ahead.js';
import type { JobSpecification } from './job.js';
import { checkRange, piecesOf } from './limits.js';
import { allocationKind } from './protocol-flags.js';
import type { Reply, StatusExtent } from './reply.js';
import { NBD_CMD_BLOCK_STATUS } from './words.js';

/** One request asks about less than this, as QEMU's own client does, so that no server takes the length for negative. */
const STATUS_LENGTH_LIMIT = 2 ** 31;
/** Requests on their way at once. An answer holds 8 bytes per extent, and has at most two million of them. */
const QUESTIONS_AT_ONCE = 8;

/** An extent, and the meta context that says it. */
export interface ContextStatus extends StatusExtent {
  readonly context: string;
}

export interface StatusSource extends WithSignal {
  /** Names of meta contexts. */
  readonly contexts: readonly string[];
  readonly device: { readonly size: number; readonly limits: BlockLimits };
  readonly request: (specification: JobSpecification, signal: AbortSignal | undefined) => Promise<Reply>;
}

/**
 * Asks for contexts together, several requests at once. An answer may end long before the end of what was asked, in each context
 * elsewhere: then the next request goes on where the shortest ended. The extents of each context come in order, without gaps, and
 * neighbours with the same flags are one.
 */
export async function* readStatus(range: Extent, source: StatusSource): AsyncGenerator<ContextStatus> {
  const { device, signal } = source;
  const ask = ({ offset, length }: Extent, signalOf: WithSignal): Promise<Reply> =>
    source.request({ command: NBD_CMD_BLOCK_STATUS, offset, length }, signalOf.signal);
  const walks = source.contexts.map((context) => new ContextWalk(context, range));
  const items = questionsAbout(range, device);
  for await (const { item, answer } of askAhead({ items, atOnce: QUESTIONS_AT_ONCE, ask, signal })) {
    const end = Math.min(endOf(item), endOf(range));
    for (const walk of walks) yield* walk.follow(answer);
    for (let at = behind(walks); at < end; at = behind(walks)) {
      const { alignment } = device.limits;
      const offset = Math.floor(at / alignment) * alignment;
      const reply = await ask({ offset, length: endOf(item) - offset }, source);
      for (const walk of walks) yield* walk.follow(reply);
      if (behind(walks) === at) throw broken(reply, 'does not get ahead');
    }
  }
  for (const walk of walks) yield* walk.end();
}

/** @throws VBackupError VB_INVALID_ARGUMENT outside the disk */
function questionsAbout(range: Extent, device: StatusSource['device']): Iterable<Extent> {
  if (range.length === 0) return [];
  const { alignment } = device.limits;
  const offset = Math.floor(range.offset / alignment) * alignment;
  const whole = { offset, length: Math.ceil(endOf(range) / alignment) * alignment - offset };
  checkRange(whole, device);
  return piecesOf(whole, Math.floor((STATUS_LENGTH_LIMIT - 1) / alignment) * alignment);
}

const behind = (walks: readonly ContextWalk[]): number => Math.min(...walks.map(({ position }) => position));

/** What one context says, put together from its answers. */
class ContextWalk {
  readonly #context: string;
  readonly #end: number;
  #position: number;
  #held: StatusExtent | undefined;

  constructor(context: string, range: Extent) {
    this.#context = context;
    this.#position = range.offset;
    this.#end = endOf(range);
  }

  /** Everything before it was told. */
  get position(): number {
    return this.#position;
  }

  /** Takes what an answer says of what was not told yet. @throws ProtocolError VB_NBD_REPLY_STATUS */
  *follow(reply: Reply): Generator<ContextStatus> {
    const extents = reply.statusOf(this.#context);
    if (extents === undefined) throw broken(reply, 'leaves out a context that was agreed on');
    for (const extent of extents) {
      const offset = this.#position;
      const length = Math.min(endOf(extent), this.#end) - offset;
      if (length <= 0) continue;
      this.#position += length;
      const { flags } = extent;
      if (this.#held?.flags === flags) {
        this.#held = { flags, offset: this.#held.offset, length: this.#held.length + length };
        continue;
      }
      yield* this.end();
      this.#held = { flags, offset, length };
    }
  }

  /** What was held because the next might have continued it. */
  *end(): Generator<ContextStatus> {
    if (this.#held !== undefined) yield { ...this.#held, context: this.#context };
    this.#held = undefined;
  }
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

function broken(reply: Reply, fault: string): ProtocolError {
  const message = `NBD server's answer to "${reply.what}" ${fault}`;
  return new ProtocolError('VB_NBD_REPLY_STATUS', message, reply.request.offset);
}
