import { ProtocolError } from '../../errors/index.js';
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
import { bytesHeldBy, serveRequest } from './serve-request.js';
import { type Agreement, type BlockSizes, blockSizes } from './served-export.js';
import type { NbdServerLimits } from './server-options.js';

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
      const content = await this.#content(length);
      this.#inFlight.add(place, this.#answer(request, refusal, content));
    } catch (error) {
      this.#inFlight.leave(place);
      throw error;
    }
    return true;
  }

  async #content(length: number): Promise<Buffer> {
    const bytes = await this.#channel.read(length, { begun: true });
    if (bytes === undefined) throw new ProtocolError('VB_NBD_SERVER_PEER_GONE', 'the client ended within a write', 0);
    return bytes;
  }

  async #answerRead(request: NbdRequest): Promise<void> {
    const buffer = this.#pool.take(request.length);
    await this.#answer(request, undefined, buffer);
    this.#pool.give(buffer);
  }

  /** Never fails: a connection that cannot be written to stops being read. */
  async #answer(request: NbdRequest, refusal: Refusal | undefined, bytes: Buffer = Buffer.alloc(0)): Promise<void> {
    try {
      await this.#channel.write(
        refusal === undefined ? await this.#serve(request, bytes) : this.#refused(request, refusal),
      );
    } catch (error) {
      this.#failure ??= { error };
      this.#channel.stopReading();
    }
  }

  async #serve(request: NbdRequest, bytes: Buffer): Promise<Buffer[]> {
    try {
      return await serveRequest(request, bytes, { ...this.#agreement, signal: this.#options.signal });
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
