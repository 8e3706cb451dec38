import { ProtocolError } from '../../errors/index.js';
import type { Loan } from '../../memory/loan.js';
import { NBD_CMD_DISC, NBD_CMD_READ, NBD_CMD_WRITE } from '../words.js';
import { BufferPool } from './buffer-pool.js';
import type { ByteBudget } from './byte-budget.js';
import type { Channel } from './channel.js';
import { type Refusal, refusalOf, refuse } from './commands.js';
import { InFlight, type Place } from './in-flight.js';
import {
  decodeRequest,
  encodeErrorChunk,
  encodeSimpleReply,
  type NbdRequest,
  REQUEST_LENGTH,
} from './request-codec.js';
import { bytesHeldBy, readReply, serveRequest } from './serve-request.js';
import { type Agreement, type BlockSizes, blockSizes } from './served-export.js';
import type { NbdServerLimits } from './server-options.js';

/** To copy less costs less than to hold it. */
const SHORTEST_LOAN = 64 * 1024;
/** A shorter write mostly arrives in one piece. */
const SHORTEST_SCRATCH = 64 * 1024;
const NOTHING = Buffer.alloc(0);

export interface TransmissionOptions {
  readonly limits: NbdServerLimits;
  /** Bytes that all connections share. */
  readonly budget: ByteBudget;
  /** Aborted when the connection is over: handed to the export. */
  readonly signal: AbortSignal;
  readonly onExportError: (error: unknown) => void;
  /** The client is gone and has not said so before: nobody waits for what is being done. */
  readonly onGone: () => void;
}

/**
 * Serves the requests of one connection: several at once, answered as they finish, bounded in count and bytes.
 * doc/proto.md, "Transmission".
 */
export class Transmission {
  readonly #channel: Channel;
  readonly #agreement: Agreement;
  readonly #options: TransmissionOptions;
  readonly #sizes: BlockSizes;
  readonly #inFlight: InFlight;
  readonly #pool = new BufferPool();
  #farewell = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(channel: Channel, agreement: Agreement, options: TransmissionOptions) {
    this.#channel = channel;
    this.#agreement = agreement;
    this.#options = options;
    this.#sizes = blockSizes(agreement.disk, options.limits.maximumRequest);
    this.#inFlight = new InFlight({
      maximumCount: options.limits.maximumRequestsInFlight,
      maximumBytes: options.limits.maximumBytesInFlight,
      budget: options.budget,
    });
  }

  /**
   * Ends when the client says so, leaves, or reading was stopped, and every request that was begun is answered.
   * @throws VBackupError VB_NBD_SERVER_PROTOCOL, VB_NBD_SERVER_PEER_GONE
   */
  async run(): Promise<void> {
    try {
      while (await this.#next());
      if (!this.#farewell && this.#channel.ended) this.#options.onGone();
    } finally {
      await this.#inFlight.idle();
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #next(): Promise<boolean> {
    const bytes = await this.#channel.read(REQUEST_LENGTH);
    if (bytes === undefined) return false;
    const request = decodeRequest(bytes);
    if (request.type === NBD_CMD_DISC) {
      this.#farewell = true;
      return false;
    }
    const refusal = refuse(request, this.#agreement, this.#sizes);
    if (request.type === NBD_CMD_WRITE) return await this.#write(request, refusal);
    const place = await this.#enter(refusal === undefined ? bytesHeldBy(request, this.#agreement) : 0);
    if (place === undefined) return false;
    const reads = request.type === NBD_CMD_READ && refusal === undefined;
    this.#inFlight.add(place, reads ? this.#answerRead(request) : this.#answer(request, refusal));
    return true;
  }

  /** Undefined when the client is gone. */
  #enter(bytes: number): Promise<Place | undefined> {
    return this.#inFlight.enter(bytes, this.#options.signal);
  }

  /** What a write brings comes in any case, so that a refused one can be answered and the connection lives on. */
  async #write(request: NbdRequest, refusal: Refusal | undefined): Promise<boolean> {
    const { length } = request;
    if (length > this.#options.limits.maximumRequest) {
      throw new ProtocolError('VB_NBD_SERVER_PROTOCOL', `${length} bytes in one write`, 0);
    }
    const place = await this.#enter(length);
    if (place === undefined) return false;
    try {
      const scratch = length < SHORTEST_SCRATCH ? undefined : this.#pool.take(length);
      const content = await this.#content(length, scratch);
      const answered = this.#answer(request, refusal, content).then(() => {
        if (scratch !== undefined) this.#pool.give(scratch);
      });
      this.#inFlight.add(place, answered);
    } catch (error) {
      this.#inFlight.leave(place);
      throw error;
    }
    return true;
  }

  async #content(length: number, scratch: Buffer | undefined): Promise<Buffer> {
    const bytes = await this.#channel.read(length, { begun: true, scratch });
    if (bytes === undefined) throw new ProtocolError('VB_NBD_SERVER_PEER_GONE', 'the client ended within a write', 0);
    return bytes;
  }

  /** The bytes are the export's own where it lends them, and a copy where it does not. */
  async #answerRead(request: NbdRequest): Promise<void> {
    let loan: Loan | undefined;
    let copy: Buffer | undefined;
    await this.#reply(request, async () => {
      loan = await this.#lend(request);
      if (loan !== undefined) return readReply(request, loan.parts, this.#agreement);
      copy = this.#pool.take(request.length);
      return await this.#serve(request, copy);
    });
    loan?.[Symbol.dispose]();
    if (copy !== undefined) this.#pool.give(copy);
  }

  async #lend({ offset, length }: NbdRequest): Promise<Loan | undefined> {
    if (length < SHORTEST_LOAN) return undefined;
    return await this.#agreement.disk.lend?.({ offset, length }, { signal: this.#options.signal });
  }

  async #answer(request: NbdRequest, refusal: Refusal | undefined, bytes: Buffer = NOTHING): Promise<void> {
    await this.#reply(request, async () =>
      refusal === undefined ? await this.#serve(request, bytes) : this.#refused(request, refusal),
    );
  }

  #serve(request: NbdRequest, bytes: Buffer): Promise<readonly Buffer[]> {
    return serveRequest(request, bytes, { ...this.#agreement, signal: this.#options.signal });
  }

  /** Never fails: a connection that cannot be written to stops being read. */
  async #reply(request: NbdRequest, work: () => Promise<readonly Buffer[]>): Promise<void> {
    try {
      await this.#channel.write(await this.#orRefused(request, work));
    } catch (error) {
      this.#failure ??= { error };
      this.#channel.stopReading();
    }
  }

  async #orRefused(request: NbdRequest, work: () => Promise<readonly Buffer[]>): Promise<readonly Buffer[]> {
    try {
      return await work();
    } catch (error) {
      this.#options.onExportError(error);
      return this.#refused(request, refusalOf(error));
    }
  }

  #refused(request: NbdRequest, refusal: Refusal): Buffer[] {
    const { cookie } = request;
    return this.#agreement.structured
      ? [encodeErrorChunk(cookie, refusal.error, refusal.message)]
      : [encodeSimpleReply(cookie, refusal.error)];
  }
}
