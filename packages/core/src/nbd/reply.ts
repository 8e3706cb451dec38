import { ProtocolError, type VBackupError } from '../errors/index.js';
import { type Extent, endOf } from '../extent/index.js';
import { fillZeros } from '../memory/shared-bytes.js';
import { Coverage } from './coverage.js';
import type { Request } from './request.js';
import { type ServerFault, serverError } from './server-error.js';
import { NBD_CMD_BLOCK_STATUS, NBD_CMD_READ, NBD_ESHUTDOWN } from './words.js';

/** One extent of one meta context, with the flags of that context. */
export interface StatusExtent extends Extent {
  readonly flags: number;
}

/** Of all contexts of one reply together; nbdkit sends up to 2^20 of one. */
const MAX_STATUS_EXTENTS = 2 * 1024 * 1024;
/** Length and flags. */
const STATUS_EXTENT_LENGTH = 8;

/**
 * Collects what the server answers to one request, and believes nothing: parts lie inside the request, none comes twice,
 * and at the end none is missing.
 */
export class Reply {
  readonly request: Request;
  readonly #subject: { readonly what: string };
  /** Nothing came yet, all came in one part, or what came: most replies have one part. */
  #covered: Coverage | 'all' | undefined;
  /** By context, as it came; most replies have none. An object per extent would take eight times the memory of answers that wait. */
  #statuses: Map<string, Buffer> | undefined;
  #statusCount = 0;
  #target: Buffer | undefined;
  #fault: ServerFault | undefined;

  /** `subject.what` names the request in messages; `target` is where a READ goes. */
  constructor(request: Request, subject: { readonly what: string }, target?: Buffer) {
    this.request = request;
    this.#subject = subject;
    this.#target = target;
  }

  get what(): string {
    return this.#subject.what;
  }

  /** Nothing may be written to the target any more: what still comes is thrown away. */
  abandon(): void {
    this.#target = undefined;
  }

  /**
   * Takes note of data that comes now.
   * @returns its place, or undefined if nobody wants it
   * @throws ProtocolError VB_NBD_REPLY_CHUNK
   */
  data(extent: Extent): Buffer | undefined {
    this.#claim(extent);
    const start = extent.offset - this.request.offset;
    const target = this.#target;
    return target?.length === extent.length ? target : target?.subarray(start, start + extent.length);
  }

  /** The data of a simple reply: all of it at once. */
  allData(): Buffer | undefined {
    return this.data({ offset: this.request.offset, length: this.request.length });
  }

  /** @throws ProtocolError VB_NBD_REPLY_CHUNK */
  hole(extent: Extent): void {
    this.#claim(extent);
    const start = extent.offset - this.request.offset;
    if (this.#target !== undefined) fillZeros(this.#target, start, start + extent.length);
  }

  /**
   * Takes the extents of one context, each of them two words of 32 bits: length and flags. They start at the request's offset and
   * may end before its end. `answer` is copied.
   * @throws ProtocolError VB_NBD_REPLY_STATUS
   */
  status(context: string, answer: Buffer): void {
    if (this.request.command !== NBD_CMD_BLOCK_STATUS) throw this.#broken('VB_NBD_REPLY_STATUS', 'has a block status');
    if (this.#statuses?.has(context) === true) throw this.#broken('VB_NBD_REPLY_STATUS', 'has one context twice');
    const end = endOf(this.request);
    let offset = this.request.offset;
    for (let at = 0; at < answer.length; at += STATUS_EXTENT_LENGTH) {
      const length = answer.readUInt32BE(at);
      if (length === 0) throw this.#broken('VB_NBD_REPLY_STATUS', 'has an extent without length');
      if (offset >= end) throw this.#broken('VB_NBD_REPLY_STATUS', 'has extents behind its end');
      if (++this.#statusCount > MAX_STATUS_EXTENTS) throw this.#broken('VB_NBD_REPLY_STATUS', 'has too many extents');
      offset += length;
    }
    if (answer.length === 0) throw this.#broken('VB_NBD_REPLY_STATUS', 'has a context without extents');
    this.#statuses ??= new Map();
    this.#statuses.set(context, Buffer.from(answer));
  }

  /** The first fault counts. */
  fail(fault: ServerFault): void {
    this.#fault ??= fault;
  }

  /** What the server said against the request, or undefined. */
  get error(): VBackupError | undefined {
    return this.#fault === undefined ? undefined : serverError(this.#fault, this.what);
  }

  /** The server shuts down, and whatever it is asked from now on fails: the connection is as good as lost. */
  get saysGoodbye(): boolean {
    return this.#fault?.errno === NBD_ESHUTDOWN;
  }

  /** Extents of one context, ascending from the request's offset on; undefined if the server left it out. */
  statusOf(context: string): Iterable<StatusExtent> | undefined {
    const answer = this.#statuses?.get(context);
    return answer === undefined ? undefined : statusExtents(answer, this.request);
  }

  /** @throws ProtocolError VB_NBD_REPLY_INCOMPLETE if the server says that it is done and is not */
  finish(): void {
    if (this.#fault !== undefined || this.request.command !== NBD_CMD_READ || this.request.length === 0) return;
    if (this.#covered === 'all' || this.#covered?.covers(this.request) === true) return;
    throw this.#broken('VB_NBD_REPLY_INCOMPLETE', 'leaves out some bytes');
  }

  #claim(extent: Extent): void {
    if (this.request.command !== NBD_CMD_READ) throw this.#broken('VB_NBD_REPLY_CHUNK', 'has data');
    if (extent.length <= 0) throw this.#broken('VB_NBD_REPLY_CHUNK', 'has a chunk without bytes');
    if (extent.offset < this.request.offset || endOf(extent) > endOf(this.request)) {
      throw this.#broken('VB_NBD_REPLY_CHUNK', `has ${extent.length} bytes at ${extent.offset}, which lie outside`);
    }
    if (!this.#cover(extent)) {
      throw this.#broken('VB_NBD_REPLY_CHUNK', `has ${extent.length} bytes at ${extent.offset} twice, or in crumbs`);
    }
  }

  /** False if any of it was there before, or if there are too many parts to keep. */
  #cover(extent: Extent): boolean {
    if (this.#covered === 'all') return false;
    if (this.#covered === undefined && extent.length === this.request.length) {
      this.#covered = 'all';
      return true;
    }
    this.#covered ??= new Coverage();
    return this.#covered.add(extent);
  }

  #broken(
    code: 'VB_NBD_REPLY_CHUNK' | 'VB_NBD_REPLY_STATUS' | 'VB_NBD_REPLY_INCOMPLETE',
    fault: string,
  ): ProtocolError {
    return new ProtocolError(code, `NBD server's answer to "${this.what}" ${fault}`, this.request.offset);
  }
}

/** Lays extents that were checked one behind the other; the last may reach beyond the request. */
function* statusExtents(answer: Buffer, request: Extent): Generator<StatusExtent> {
  const end = endOf(request);
  let { offset } = request;
  for (let at = 0; at < answer.length; at += STATUS_EXTENT_LENGTH) {
    const length = Math.min(answer.readUInt32BE(at), end - offset);
    yield { offset, length, flags: answer.readUInt32BE(at + 4) };
    offset += length;
  }
}
