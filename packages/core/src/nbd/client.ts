import { UnsupportedError, VBackupError } from '../errors/index.js';
import type { AllocationExtent, Extent } from '../extent/index.js';
import type { BlockLimits, BlockReader, ReadPiece, WithSignal } from '../hypervisor/index.js';
import { type ContextStatus, readAllocation, readStatus } from './block-status.js';
import { capabilitiesOf, type NbdCapabilities } from './capabilities.js';
import type { NbdConnectOptions } from './connect-options.js';
import { Dispatcher } from './dispatcher.js';
import type { JobSpecification } from './job.js';
import { checkRange, limitsOf, piecesOf } from './limits.js';
import type { Negotiated } from './negotiation.js';
import type { Reply } from './reply.js';
import {
  NBD_CMD_FLAG_FUA,
  NBD_CMD_FLAG_NO_HOLE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
} from './words.js';

/** Longer reads and writes are cut into requests of this length, which travel side by side. */
const REQUEST_LENGTH = 2 * 1024 * 1024;
/** Zeroing moves no bytes, so its requests may be longer; a server that writes the zeros out has to be done in time. */
const ZERO_LENGTH = 128 * 1024 * 1024;

export interface WriteOptions extends WithSignal {
  /** The bytes are durable when the promise resolves. */
  readonly fua?: boolean | undefined;
}

export interface ZeroOptions extends WriteOptions {
  /** The server may deallocate. Default true. */
  readonly hole?: boolean | undefined;
}

/**
 * A disk on an NBD server. Requests are pipelined over one or more connections, bounded in number and bytes; those that
 * do not fit wait here. A lost connection is made again, and reads on it are sent again; writes are not (see
 * {@link Dispatcher}). After a breach of the protocol everything fails, with the code of the breach.
 */
export class NbdClient implements BlockReader {
  readonly size: number;
  readonly limits: BlockLimits;
  readonly capabilities: NbdCapabilities;
  /** Names of the meta contexts that `blockStatus` can tell about. */
  readonly metaContexts: readonly string[];
  /** Present if the server reports `base:allocation`. */
  readonly allocation?: (range: Extent, options?: WithSignal) => AsyncIterable<AllocationExtent>;
  readonly #dispatcher: Dispatcher;

  private constructor(dispatcher: Dispatcher, negotiated: Negotiated, options: NbdConnectOptions) {
    this.#dispatcher = dispatcher;
    this.size = negotiated.size;
    this.limits = limitsOf(negotiated, {
      minimumAlignment: options.minimumAlignment,
      connections: dispatcher.connections,
    });
    this.capabilities = capabilitiesOf(negotiated.flags);
    this.metaContexts = [...negotiated.contexts.values()];
    if (this.metaContexts.includes('base:allocation')) {
      this.allocation = (range, use) => readAllocation(this.blockStatus('base:allocation', range, use));
    }
  }

  /**
   * Connects, and opens further connections one after the other while the server allows it. `options.signal` stops the
   * connecting only. A later connection that cannot be had is done without.
   * @throws VBackupError VB_NBD_CONNECT, VB_NBD_NOT_A_SERVER, VB_NBD_OLDSTYLE, VB_NBD_OPTION_REPLY,
   *   VB_NBD_EXPORT_NOT_FOUND, VB_NBD_EXPORT_REFUSED, VB_NBD_TLS, VB_NBD_TLS_REQUIRED, VB_NBD_TLS_UNAVAILABLE,
   *   VB_NBD_TLS_INJECTION, VB_NBD_CERTIFICATE, VB_NBD_HANDSHAKE_TIMEOUT, VB_NBD_BLOCK_SIZE
   */
  static async connect(options: NbdConnectOptions): Promise<NbdClient> {
    const dispatcher = new Dispatcher(options);
    try {
      const negotiated = await dispatcher.open();
      const several = options.assumeMultiConn === true || capabilitiesOf(negotiated.flags).multiConn;
      if (several) await openMore(dispatcher, options);
      return new NbdClient(dispatcher, negotiated, options);
    } catch (error) {
      await dispatcher.close();
      throw error;
    }
  }

  /** Connections that were opened. */
  get connections(): number {
    return this.#dispatcher.connections;
  }

  /**
   * @throws VBackupError VB_INVALID_ARGUMENT outside the disk or off its blocks
   * @throws RequestError VB_NBD_REQUEST_FAILED, VB_NBD_REQUEST_TIMEOUT
   * @throws VBackupError VB_NBD_DISCONNECTED, VB_NBD_CLOSED, VB_NBD_REPLY_…
   */
  async read(offset: number, target: Buffer, options: WithSignal = {}): Promise<void> {
    await this.readAll([{ offset, target }], options);
  }

  /**
   * Throws as {@link read}. Who reads a whole disk does best with two pieces of 512 KiB at a time and four such calls at once: so
   * copies ask a server that is near.
   */
  async readAll(pieces: readonly ReadPiece[], options: WithSignal = {}): Promise<void> {
    const requests: JobSpecification[] = [];
    for (const piece of pieces) {
      checkRange({ offset: piece.offset, length: piece.target.length }, this);
      for (const { offset, bytes } of this.#requestsOf(piece.offset, piece.target)) {
        requests.push({ command: NBD_CMD_READ, offset, length: bytes.length, target: bytes });
      }
    }
    await this.#dispatcher.runAll(requests, options.signal);
  }

  /**
   * @throws RequestError VB_NBD_READ_ONLY, VB_NO_SPACE, and what {@link read} throws
   * @throws UnsupportedError VB_UNSUPPORTED if `fua` is asked for and neither FUA nor flush can be had
   */
  async write(offset: number, bytes: Buffer, options: WriteOptions = {}): Promise<void> {
    checkRange({ offset, length: bytes.length }, this);
    this.#checkWritable();
    const flags = this.#fuaFlag(options);
    const requests: JobSpecification[] = [];
    for (const { offset: at, bytes: payload } of this.#requestsOf(offset, bytes)) {
      requests.push({ command: NBD_CMD_WRITE, flags, offset: at, length: payload.length, payload });
    }
    await this.#dispatcher.runAll(requests, options.signal);
    await this.#flushInstead(options);
  }

  /** Makes a range read as zeros; throws as {@link write}, and UnsupportedError VB_UNSUPPORTED where the server cannot. */
  async zero(offset: number, length: number, options: ZeroOptions = {}): Promise<void> {
    if (!this.capabilities.zero) throw cannot('write zeroes');
    const hole = options.hole === false ? NBD_CMD_FLAG_NO_HOLE : 0;
    await this.#sweep({ offset, length }, options, { command: NBD_CMD_WRITE_ZEROES, flags: hole });
  }

  /** Says that a range is not needed; it may read as anything. Throws as {@link zero}. */
  async trim(offset: number, length: number, options: WriteOptions = {}): Promise<void> {
    if (!this.capabilities.trim) throw cannot('trim');
    await this.#sweep({ offset, length }, options, { command: NBD_CMD_TRIM, flags: 0 });
  }

  /** Makes every write durable whose promise resolved before. @throws UnsupportedError VB_UNSUPPORTED */
  async flush(options: WithSignal = {}): Promise<void> {
    if (!this.capabilities.flush) throw cannot('flush');
    await this.#dispatcher.run({ command: NBD_CMD_FLUSH, offset: 0, length: 0 }, options.signal);
  }

  /**
   * What meta contexts say about a range. Each one's extents are ascending, without gaps and clipped to the range, and neighbours
   * differ in flags; those of several contexts are asked for together and come in turns. A few requests are on their way at once.
   * @throws UnsupportedError VB_UNSUPPORTED if the context was not negotiated, and what {@link read} throws
   */
  blockStatus(
    context: string | readonly string[],
    range: Extent,
    options: WithSignal = {},
  ): AsyncIterable<ContextStatus> {
    const contexts = typeof context === 'string' ? [context] : context;
    for (const name of contexts) if (!this.metaContexts.includes(name)) throw cannot(`report ${name}`);
    const request = (specification: JobSpecification, signal: AbortSignal | undefined): Promise<Reply> =>
      this.#dispatcher.run(specification, signal);
    return readStatus(range, { contexts, device: this, request, signal: options.signal });
  }

  /** Says goodbye to the server; what is in flight fails with VB_NBD_CLOSED. */
  async close(): Promise<void> {
    await this.#dispatcher.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** What one transfer is cut into, to travel side by side. */
  #requestsOf(offset: number, bytes: Buffer): readonly { readonly offset: number; readonly bytes: Buffer }[] {
    const { alignment, maximumRequest } = this.limits;
    const longest = Math.max(alignment, Math.min(maximumRequest, REQUEST_LENGTH));
    if (bytes.length > 0 && bytes.length <= longest) return [{ offset, bytes }];
    const requests: { readonly offset: number; readonly bytes: Buffer }[] = [];
    for (let at = 0; at < bytes.length; at += longest) {
      requests.push({ offset: offset + at, bytes: bytes.subarray(at, at + longest) });
    }
    return requests;
  }

  async #sweep(
    range: Extent,
    options: WriteOptions,
    order: { readonly command: number; readonly flags: number },
  ): Promise<void> {
    checkRange(range, this);
    this.#checkWritable();
    const flags = order.flags + this.#fuaFlag(options);
    for (const piece of piecesOf(range, ZERO_LENGTH)) {
      await this.#dispatcher.run({ command: order.command, flags, ...piece }, options.signal);
    }
    await this.#flushInstead(options);
  }

  #checkWritable(): void {
    if (this.capabilities.readOnly) throw new VBackupError('VB_NBD_READ_ONLY', 'the export can only be read');
    if (this.connections > 1 && !this.capabilities.multiConn) {
      const message = 'cannot write over several connections to a server that does not keep them in step';
      throw new VBackupError('VB_INVALID_ARGUMENT', message);
    }
  }

  #fuaFlag(options: WriteOptions): number {
    if (options.fua !== true) return 0;
    if (!this.capabilities.fua && !this.capabilities.flush) throw cannot('make writes durable');
    return this.capabilities.fua ? NBD_CMD_FLAG_FUA : 0;
  }

  async #flushInstead(options: WriteOptions): Promise<void> {
    if (options.fua === true && !this.capabilities.fua) await this.flush(options);
  }
}

async function openMore(dispatcher: Dispatcher, options: NbdConnectOptions): Promise<void> {
  const wanted = options.connections ?? 1;
  while (dispatcher.connections < wanted) {
    try {
      await dispatcher.open();
    } catch (error) {
      if (options.signal?.aborted === true) throw error;
      if (error instanceof VBackupError && error.code === 'VB_NBD_CERTIFICATE') throw error;
      return;
    }
  }
}

const cannot = (what: string): UnsupportedError =>
  new UnsupportedError('VB_UNSUPPORTED', `the NBD server cannot ${what}`);
