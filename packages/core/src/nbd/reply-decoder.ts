import { readUInt64BE } from '../bytes/index.js';
import { ProtocolError } from '../errors/index.js';
import { printable } from './option-reply.js';
import { hasFlag } from './protocol-flags.js';
import type { Reply } from './reply.js';
import {
  NBD_CMD_READ,
  NBD_EIO,
  NBD_MAX_STRING,
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_ERROR_OFFSET,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STRUCTURED_REPLY_MAGIC,
} from './words.js';

const SIMPLE_LENGTH = 16;
const STRUCTURED_LENGTH = 20;
/** In front of the data of a chunk. */
const OFFSET_LENGTH = 8;
/** The most extents that one chunk may have; nbdkit sends up to this many. */
const MAX_STATUS_EXTENTS = 1024 * 1024;
const MAX_STATUS_LENGTH = 4 + 8 * MAX_STATUS_EXTENTS;
const MAX_ERROR_LENGTH = 6 + 8 + NBD_MAX_STRING;

export interface ReplyDecoderOptions {
  /** The request in flight that has this cookie. */
  readonly find: (cookie: bigint) => Reply | undefined;
  /** Structured replies were negotiated. */
  readonly structured: boolean;
  /** Names of the meta contexts that were agreed on, by the ids that they have on this connection. */
  readonly contexts: ReadonlyMap<number, string>;
}

/** What the next bytes are. */
type State =
  | { readonly kind: 'header' }
  /** The rest of a structured header, whose first 16 bytes are known. */
  | { readonly kind: 'length'; readonly head: Buffer }
  /** A chunk's own fields: the offset of data, or the whole of any other chunk. */
  | { readonly kind: 'body'; readonly chunk: Chunk; readonly need: number }
  | Payload;

const HEADER: State = { kind: 'header' };
const NO_BYTES = Buffer.alloc(0);

interface Chunk {
  readonly reply: Reply;
  readonly type: number;
  readonly length: number;
  readonly done: boolean;
}

interface Payload {
  readonly kind: 'payload';
  readonly reply: Reply;
  readonly place: Buffer | undefined;
  readonly done: boolean;
  readonly length: number;
  filled: number;
}

/**
 * Decodes what a server sends in transmission, cut anywhere: simple replies and structured ones, in any order
 * (doc/proto.md, "Simple reply message", "Structured reply chunk message"). Payload goes to the place that its request
 * names: either the caller reads it straight to `place()` and says so with `placed()`, or `push()` copies it there.
 */
export class ReplyDecoder {
  readonly #options: ReplyDecoderOptions;
  /** A header or body that comes in parts, and how much of it is there. */
  #partial: Buffer | undefined;
  #partialLength = 0;
  #state: State = HEADER;
  #offset = 0;

  constructor(options: ReplyDecoderOptions) {
    this.#options = options;
  }

  /** Where the next bytes belong, if they are payload that somebody wants. */
  place(): Buffer | undefined {
    if (this.#state.kind !== 'payload') return undefined;
    const { place, filled } = this.#state;
    return filled === 0 ? place : place?.subarray(filled);
  }

  /** How many bytes come before the next payload, at least, as far as can be known; of payload that nobody wants, all. */
  get awaited(): number {
    const state = this.#state;
    if (state.kind === 'payload') return state.length - state.filled;
    return needOf(state) + this.#fieldsBehind(state) - this.#partialLength;
  }

  /** What follows in front of data, where replies are structured. */
  #fieldsBehind({ kind }: State): number {
    if (kind === 'header' && this.#options.structured) return STRUCTURED_LENGTH - SIMPLE_LENGTH + OFFSET_LENGTH;
    return kind === 'length' ? OFFSET_LENGTH : 0;
  }

  /** Whether the bytes that come next belong to `reply`. */
  isReceiving(reply: Reply): boolean {
    return this.#state.kind === 'payload' && this.#state.reply === reply;
  }

  /** The first `length` bytes of `place()` are there. @returns the reply, if it is complete */
  placed(length: number): Reply | undefined {
    const state = this.#state;
    if (state.kind !== 'payload') throw new Error('no payload was awaited');
    this.#offset += length;
    return this.#advance(state, length);
  }

  /**
   * Takes bytes that lie elsewhere; the chunk may be used again afterwards. Yields every reply that is complete.
   * @throws ProtocolError VB_NBD_REPLY_MAGIC, VB_NBD_REPLY_COOKIE, VB_NBD_REPLY_CHUNK, VB_NBD_REPLY_STATUS,
   *   VB_NBD_REPLY_INCOMPLETE
   */
  *push(chunk: Buffer): Generator<Reply> {
    let at = 0;
    while (at < chunk.length) {
      const state = this.#state;
      if (state.kind === 'payload') {
        const length = Math.min(state.length - state.filled, chunk.length - at);
        if (state.place !== undefined) chunk.copy(state.place, state.filled, at, at + length);
        at += length;
        this.#offset += length;
        const complete = this.#advance(state, length);
        if (complete !== undefined) yield complete;
        continue;
      }
      if (this.#hasChunkHeader(chunk, at)) {
        const head = chunk.subarray(at, at + STRUCTURED_LENGTH);
        at += STRUCTURED_LENGTH;
        this.#offset += STRUCTURED_LENGTH;
        const complete = this.#chunkHeader(head, head.readUInt32BE(SIMPLE_LENGTH));
        if (complete !== undefined) yield complete;
        continue;
      }
      const need = needOf(state);
      const piece = chunk.subarray(at, at + need - this.#partialLength);
      at += piece.length;
      this.#offset += piece.length;
      const whole = this.#gather(piece, need);
      const complete = whole === undefined ? undefined : this.#decode(state, whole);
      if (complete !== undefined) yield complete;
    }
  }

  /** The `need` bytes that `piece` completes; nothing is copied where it holds all of them. */
  #gather(piece: Buffer, need: number): Buffer | undefined {
    if (piece.length === need) return piece;
    this.#partial ??= Buffer.allocUnsafe(need);
    this.#partialLength += piece.copy(this.#partial, this.#partialLength);
    if (this.#partialLength < need) return undefined;
    const whole = this.#partial;
    this.#partial = undefined;
    this.#partialLength = 0;
    return whole;
  }

  /** Whether a structured header begins at `at` and is there as a whole: it need not be taken in two parts then. */
  #hasChunkHeader(chunk: Buffer, at: number): boolean {
    if (!this.#options.structured || this.#state !== HEADER || this.#partialLength > 0) return false;
    return chunk.length - at >= STRUCTURED_LENGTH && chunk.readUInt32BE(at) === NBD_STRUCTURED_REPLY_MAGIC;
  }

  /** Each of these returns the reply that it completes, if it does. */
  #decode(state: Exclude<State, Payload>, bytes: Buffer): Reply | undefined {
    if (state.kind === 'header') return this.#header(bytes);
    if (state.kind === 'length') return this.#chunkHeader(state.head, bytes.readUInt32BE(0));
    if (state.chunk.type !== NBD_REPLY_TYPE_OFFSET_DATA) return this.#chunk(state.chunk, bytes);
    return this.#startData(state.chunk, readUInt64BE(bytes, 0));
  }

  #header(bytes: Buffer): Reply | undefined {
    const magic = bytes.readUInt32BE(0);
    if (magic === NBD_STRUCTURED_REPLY_MAGIC && this.#options.structured) {
      this.#state = { kind: 'length', head: Buffer.from(bytes) };
      return undefined;
    }
    if (magic !== NBD_SIMPLE_REPLY_MAGIC) throw this.#broken('VB_NBD_REPLY_MAGIC', 'no reply of NBD starts here');
    const reply = this.#find(bytes);
    const errno = bytes.readUInt32BE(4);
    if (reply.request.command === NBD_CMD_READ) {
      if (this.#options.structured) throw this.#broken('VB_NBD_REPLY_MAGIC', `simple reply to "${reply.what}"`);
      if (errno === 0 && reply.request.length > 0) {
        return this.#receive(reply, reply.allData(), { length: reply.request.length, done: true });
      }
    }
    if (errno !== 0) reply.fail({ errno, message: '' });
    return this.#end(reply, true);
  }

  /**
   *     32 bits  NBD_STRUCTURED_REPLY_MAGIC
   *     16 bits  flags
   *     16 bits  type
   *     64 bits  cookie
   *     32 bits  length of what follows
   */
  #chunkHeader(head: Buffer, length: number): Reply | undefined {
    const chunk: Chunk = {
      reply: this.#find(head),
      type: head.readUInt16BE(6),
      length,
      done: hasFlag(head.readUInt16BE(4), NBD_REPLY_FLAG_DONE),
    };
    const need = this.#bodyLength(chunk);
    if (need === 0) return this.#chunk(chunk, NO_BYTES);
    this.#state = { kind: 'body', chunk, need };
    return undefined;
  }

  /** How much of a chunk is collected before it is looked at; refuses lengths that its type cannot have. */
  #bodyLength({ type, length, reply, done }: Chunk): number {
    if (type === NBD_REPLY_TYPE_NONE && length === 0 && done) return 0;
    if (type === NBD_REPLY_TYPE_OFFSET_DATA && length > OFFSET_LENGTH) return OFFSET_LENGTH;
    if (type === NBD_REPLY_TYPE_OFFSET_HOLE && length === 12) return 12;
    if (type === NBD_REPLY_TYPE_BLOCK_STATUS && length >= 12 && length % 8 === 4 && length <= MAX_STATUS_LENGTH) {
      return length;
    }
    if (type >= 0x8000 && length >= 6 && length <= MAX_ERROR_LENGTH) return length;
    throw this.#broken('VB_NBD_REPLY_CHUNK', `chunk of type ${type} with ${length} bytes in answer to "${reply.what}"`);
  }

  #startData({ reply, length, done }: Chunk, offset: number): undefined {
    return this.#receive(reply, reply.data({ offset, length: length - OFFSET_LENGTH }), {
      length: length - OFFSET_LENGTH,
      done,
    });
  }

  #chunk({ reply, type, done }: Chunk, body: Buffer): Reply | undefined {
    if (type === NBD_REPLY_TYPE_OFFSET_HOLE) {
      reply.hole({ offset: readUInt64BE(body, 0), length: body.readUInt32BE(8) });
    } else if (type === NBD_REPLY_TYPE_BLOCK_STATUS) {
      reply.status(this.#contextOf(body.readUInt32BE(0)), body.subarray(4));
    } else if (type >= 0x8000) {
      this.#fault(reply, type, body);
    }
    return this.#end(reply, done);
  }

  /**
   *     32 bits  error
   *     16 bits  length of the message
   *     …        message
   *     64 bits  offset, in NBD_REPLY_TYPE_ERROR_OFFSET
   */
  #fault(reply: Reply, type: number, body: Buffer): void {
    const errno = body.readUInt32BE(0);
    const end = 6 + body.readUInt16BE(4);
    const tail = type === NBD_REPLY_TYPE_ERROR ? 0 : type === NBD_REPLY_TYPE_ERROR_OFFSET ? 8 : body.length - end;
    if (tail < 0 || end + tail !== body.length) {
      throw this.#broken('VB_NBD_REPLY_CHUNK', `error chunk with impossible lengths in answer to "${reply.what}"`);
    }
    const offset = type === NBD_REPLY_TYPE_ERROR_OFFSET ? readUInt64BE(body, end) : undefined;
    reply.fail({ errno: errno === 0 ? NBD_EIO : errno, message: printable(body.subarray(6, end)), offset });
  }

  #receive(
    reply: Reply,
    place: Buffer | undefined,
    { length, done }: { readonly length: number; readonly done: boolean },
  ): undefined {
    this.#state = { kind: 'payload', reply, place, length, done, filled: 0 };
  }

  #advance(state: Payload, length: number): Reply | undefined {
    state.filled += length;
    return state.filled === state.length ? this.#end(state.reply, state.done) : undefined;
  }

  #end(reply: Reply, done: boolean): Reply | undefined {
    this.#state = HEADER;
    if (!done) return undefined;
    reply.finish();
    return reply;
  }

  #contextOf(id: number): string {
    const name = this.#options.contexts.get(id);
    if (name === undefined) throw this.#broken('VB_NBD_REPLY_STATUS', `meta context ${id} was not agreed on`);
    return name;
  }

  #find(header: Buffer): Reply {
    const reply = this.#options.find(header.readBigUInt64BE(8));
    if (reply === undefined) throw this.#broken('VB_NBD_REPLY_COOKIE', 'answer to a request that is not in flight');
    return reply;
  }

  #broken(
    code: 'VB_NBD_REPLY_MAGIC' | 'VB_NBD_REPLY_COOKIE' | 'VB_NBD_REPLY_CHUNK' | 'VB_NBD_REPLY_STATUS',
    fault: string,
  ): ProtocolError {
    return new ProtocolError(code, `NBD server broke the protocol: ${fault}`, this.#offset);
  }
}

function needOf(state: Exclude<State, Payload>): number {
  if (state.kind === 'header') return SIMPLE_LENGTH;
  return state.kind === 'length' ? STRUCTURED_LENGTH - SIMPLE_LENGTH : state.need;
}
