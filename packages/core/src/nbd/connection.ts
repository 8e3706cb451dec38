import { RequestError, VBackupError } from '../errors/index.js';
import { atEndOfTurn } from '../memory/end-of-turn.js';
import type { Channel, Receiver } from './channel.js';
import type { NbdConnectOptions } from './connect-options.js';
import { converse } from './conversation.js';
import type { Job } from './job.js';
import { type Negotiated, type NegotiationOptions, negotiate } from './negotiation.js';
import { Reply } from './reply.js';
import { ReplyDecoder } from './reply-decoder.js';
import { encodeRequest, REQUEST_LENGTH } from './request.js';
import { NBD_CMD_DISC, NBD_CMD_WRITE } from './words.js';

/** Requests in flight on one connection. */
export const MAX_REQUESTS_IN_FLIGHT = 16;
/** Bytes asked for and not yet received on one connection: more falls out of the caches and makes servers allocate. */
export const MAX_BYTES_IN_FLIGHT = 4 * 1024 * 1024;
/** From sending a request to the end of its reply, where the caller says nothing. */
export const DEFAULT_REQUEST_TIMEOUT_MS = 60_000;
const CLOSE_TIMEOUT_MS = 2_000;
/** Requests leave so many at a time, while as many keep the server busy: a write for each costs as much as its answer. */
const REQUESTS_PER_WRITE = MAX_REQUESTS_IN_FLIGHT / 2;
/** Shorter answers are received several at a time: a copy costs less than a turn of the event loop for each. */
const SHORT_ANSWER = 256 * 1024;
/** One that comes alone, as the last one did, is received with its header if it is no longer. */
const SHORT_LONE_ANSWER = 64 * 1024;

/** Who owns a connection. */
export interface ConnectionOwner {
  /** The server answered `job`; there is room for another one. */
  answered(connection: NbdConnection, job: Job, reply: Reply): void;
  /** The connection ended. `jobs` were not answered; `culprit` is the one whose timeout ended it. */
  lost(connection: NbdConnection, loss: ConnectionLoss): void;
}

export interface ConnectionLoss {
  readonly error: Error;
  readonly jobs: readonly Job[];
  readonly culprit?: Job | undefined;
}

interface InFlight {
  readonly cookie: bigint;
  readonly job: Job;
  readonly reply: Reply;
  readonly deadline: number;
  abandoned: boolean;
}

/** One connection in transmission. It sends, receives and keeps the time; what becomes of lost jobs its owner decides. */
export class NbdConnection implements Receiver {
  readonly negotiated: Negotiated;
  readonly #channel: Channel;
  readonly #decoder: ReplyDecoder;
  readonly #owner: ConnectionOwner;
  readonly #timeoutMs: number;
  /**
   * Ascending by deadline: all have the same timeout. Not a Map: where entries come and go it leaves tables that each hold the
   * next, so that requests long answered stay until the next full collection, and that comes the sooner.
   */
  readonly #inFlight: InFlight[] = [];
  #bytes = 0;
  /** Of the job that was answered last: one after the other, they are mostly alike. */
  #lastWeight = 0;
  #cookie = 0n;
  #outgoing: InFlight[] = [];
  #timer: NodeJS.Timeout | undefined;
  #culprit: Job | undefined;
  #flushing = false;
  #ended = false;

  private constructor(
    parts: { readonly channel: Channel; readonly negotiated: Negotiated; readonly timeoutMs: number },
    owner: ConnectionOwner,
  ) {
    this.negotiated = parts.negotiated;
    this.#channel = parts.channel;
    this.#timeoutMs = parts.timeoutMs;
    this.#owner = owner;
    this.#decoder = new ReplyDecoder({
      find: (cookie) => this.#inFlight.find((entry) => entry.cookie === cookie)?.reply,
      structured: parts.negotiated.structured,
      contexts: parts.negotiated.contexts,
    });
  }

  /** Connects and negotiates; throws what {@link converse} and {@link negotiate} throw. */
  static async open(options: NbdConnectOptions, owner: ConnectionOwner): Promise<NbdConnection> {
    const { channel, result, leftover } = await converse(options, negotiate(negotiationOptions(options)));
    const timeoutMs = options.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS;
    const connection = new NbdConnection({ channel, negotiated: result, timeoutMs }, owner);
    channel.receiver = connection;
    channel.onClosed = (error) => connection.#lost(error);
    if (leftover.length > 0) connection.#guard(() => connection.push(leftover));
    return connection;
  }

  get bytesInFlight(): number {
    return this.#bytes;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether a request of `length` bytes may be sent now. One that is longer than the bound goes alone. */
  hasRoom(length: number): boolean {
    if (this.#ended || this.#inFlight.length >= MAX_REQUESTS_IN_FLIGHT) return false;
    return this.#inFlight.length === 0 || this.#bytes + length <= MAX_BYTES_IN_FLIGHT;
  }

  /** Jobs of one turn of the event loop leave in one write; they wait for more while enough are with the server. */
  send(job: Job): void {
    const cookie = ++this.#cookie;
    const { command, flags = 0, offset, length, target } = job.specification;
    const reply = new Reply({ cookie, command, flags, offset, length }, job, target);
    const entry = { cookie, job, reply, deadline: performance.now() + this.#timeoutMs, abandoned: false };
    this.#inFlight.push(entry);
    this.#bytes += weightOf(job);
    this.#outgoing.push(entry);
    // Who asks for one thing at a time has no company for it.
    if (this.#inFlight.length === 1) this.#flush();
    else this.#flushSoon();
    if (this.#timer === undefined) this.#startTimer(this.#timeoutMs);
  }

  /**
   * Nobody waits for `job` any more, and its buffers are not touched after this returns. If they are in use right now
   * the connection ends; else the answer is read and thrown away. False if the job is not on this connection.
   */
  abandon(job: Job): boolean {
    const entry = this.#inFlight.find((candidate) => candidate.job === job);
    if (entry === undefined) return false;
    entry.abandoned = true;
    if (job.specification.command === NBD_CMD_WRITE || this.#decoder.isReceiving(entry.reply)) {
      this.#channel.destroy(new VBackupError('VB_NBD_DISCONNECTED', `dropped the connection to abort "${job.what}"`));
    } else {
      entry.reply.abandon();
    }
    return true;
  }

  /** Says goodbye if nothing is in flight, and closes. Jobs in flight are lost. */
  async close(): Promise<void> {
    if (this.#ended) return;
    if (this.#inFlight.length > 0) return this.destroy(new VBackupError('VB_NBD_CLOSED', 'the NBD client was closed'));
    this.#finish();
    const goodbye = Buffer.alloc(REQUEST_LENGTH);
    encodeRequest({ cookie: ++this.#cookie, command: NBD_CMD_DISC, flags: 0, offset: 0, length: 0 }, goodbye, 0);
    this.#channel.write([goodbye]);
    await this.#channel.end(CLOSE_TIMEOUT_MS);
  }

  destroy(error: Error): void {
    this.#channel.destroy(error);
  }

  get awaited(): number | undefined {
    const count = this.#inFlight.length;
    if (count > 1) return this.#bytes < count * SHORT_ANSWER ? undefined : this.#decoder.awaited;
    return (count === 0 ? this.#lastWeight : this.#bytes) <= SHORT_LONE_ANSWER ? undefined : this.#decoder.awaited;
  }

  place(): Buffer | undefined {
    return this.#decoder.place();
  }

  placed(length: number): void {
    const reply = this.#decoder.placed(length);
    if (reply !== undefined) this.#answered(reply);
  }

  push(chunk: Buffer): void {
    for (const reply of this.#decoder.push(chunk)) this.#answered(reply);
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#channel.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #flushSoon(): void {
    const waiting = this.#outgoing.length;
    const withServer = this.#inFlight.length - waiting;
    if (this.#flushing || waiting === 0 || (waiting < REQUESTS_PER_WRITE && withServer >= REQUESTS_PER_WRITE)) return;
    this.#flushing = true;
    atEndOfTurn(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    if (!this.#ended && outgoing.length > 0) this.#channel.write(buffersOf(outgoing));
  }

  #answered(reply: Reply): void {
    const at = this.#inFlight.findIndex((candidate) => candidate.reply === reply);
    const entry = this.#inFlight[at];
    if (entry === undefined) return;
    if (reply.saysGoodbye) return this.destroy(new VBackupError('VB_NBD_DISCONNECTED', 'the NBD server shuts down'));
    this.#inFlight.splice(at, 1);
    this.#lastWeight = weightOf(entry.job);
    this.#bytes -= this.#lastWeight;
    if (!entry.abandoned) this.#owner.answered(this, entry.job, reply);
    this.#flushSoon();
  }

  /** One timer for all requests: the oldest is the first to expire. */
  #startTimer(delayMs: number): void {
    this.#timer = setTimeout(() => this.#checkTime(), delayMs);
    this.#timer.unref();
  }

  #checkTime(): void {
    this.#timer = undefined;
    const [oldest] = this.#inFlight;
    if (oldest === undefined) return;
    const left = oldest.deadline - performance.now();
    if (left > 0) return this.#startTimer(Math.ceil(left));
    this.#culprit = oldest.abandoned ? undefined : oldest.job;
    const message = `the NBD server did not ${oldest.job.what} in ${this.#timeoutMs} ms`;
    this.#channel.destroy(new RequestError('VB_NBD_REQUEST_TIMEOUT', message));
  }

  #finish(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #lost(error: Error): void {
    if (this.#ended) return;
    this.#finish();
    const jobs: Job[] = [];
    for (const { job, reply, abandoned } of this.#inFlight.splice(0)) {
      if (abandoned) continue;
      if (this.#decoder.isReceiving(reply)) job.interruptions++;
      reply.abandon();
      jobs.push(job);
    }
    this.#bytes = 0;
    this.#owner.lost(this, { error, jobs, culprit: this.#culprit });
  }
}

/** Bytes that a job moves; a status request moves next to none, however long its range is. */
function weightOf(job: Job): number {
  const { target, payload } = job.specification;
  return (target ?? payload)?.length ?? 0;
}

/** The headers of requests, and behind each what it sends. */
function buffersOf(outgoing: readonly InFlight[]): readonly Buffer[] {
  const headers = Buffer.allocUnsafe(outgoing.length * REQUEST_LENGTH);
  const buffers: Buffer[] = [];
  let written = 0;
  let at = 0;
  for (const { reply, job } of outgoing) {
    at = encodeRequest(reply.request, headers, at);
    const { payload } = job.specification;
    if (payload === undefined) continue;
    buffers.push(headers.subarray(written, at), payload);
    written = at;
  }
  if (written === 0) return [headers];
  if (written < at) buffers.push(headers.subarray(written, at));
  return buffers;
}

/** What the handshake needs to know of the options of a connection. */
export function negotiationOptions(options: NbdConnectOptions): NegotiationOptions {
  return {
    exportName: options.exportName,
    label: options.secretExportName === true ? 'the export' : `export "${options.exportName}"`,
    tls: options.tls !== undefined,
    metaContexts: options.metaContexts ?? ['base:allocation'],
  };
}
