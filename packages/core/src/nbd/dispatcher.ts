import { setTimeout as delay } from 'node:timers/promises';
import { abortError, RequestError, VBackupError } from '../errors/index.js';
import type { NbdConnectOptions } from './connect-options.js';
import { type ConnectionLoss, type ConnectionOwner, NbdConnection } from './connection.js';
import { isRepeatable, type Job, type JobSpecification } from './job.js';
import { JobGroup, type JobKeeper, type Waiting } from './job-group.js';
import type { Negotiated } from './negotiation.js';
import type { Reply } from './reply.js';
import { NBD_CMD_FLUSH } from './words.js';

/** How often in a row a lost connection is made again, where the caller says nothing. */
export const DEFAULT_RECONNECTS = 5;
/** A server that is full may accept a connection and never greet (qemu-nbd does): the first reads wait for this long. */
const FURTHER_HANDSHAKE_TIMEOUT_MS = 10_000;
const FIRST_BACKOFF_MS = 250;
const BACKOFF_FACTOR = 3;
const MAX_BACKOFF_MS = 10_000;
/** A read that is cut in its own data this often is an error of the disk: xapi has no other way to say so. */
const MAX_INTERRUPTIONS = 2;

/** Failures of a reconnect that may pass by themselves. */
const PASSING: ReadonlySet<string> = new Set([
  'VB_NBD_CONNECT',
  'VB_NBD_DISCONNECTED',
  'VB_NBD_HANDSHAKE_TIMEOUT',
  'VB_NBD_EXPORT_REFUSED',
  'VB_NBD_TLS',
]);

/** Whether a connection that ended with `error` may be made again: not after a breach of the protocol. */
const mayComeBack = (error: Error): boolean =>
  error instanceof VBackupError && (PASSING.has(error.code) || error.code === 'VB_NBD_REQUEST_TIMEOUT');

/** A place for one connection, that is made again when it is lost. */
interface Lane {
  connection: NbdConnection | undefined;
  /** Reconnects since the last answer. */
  attempts: number;
}

/**
 * Spreads jobs over connections and decides what becomes of them when one is lost.
 *
 * Reads and status requests are sent again. Writes are not, although the same bytes at the same place do no harm: a
 * server that died may have forgotten writes that it had confirmed and not flushed, and a later flush would say that
 * they are safe. So a lost connection fails the writes on it, and every later one, if any write was not flushed.
 */
export class Dispatcher implements ConnectionOwner, JobKeeper {
  readonly #options: NbdConnectOptions;
  readonly #reconnects: number;
  readonly #closing = new AbortController();
  #lanes: Lane[] = [];
  /** The connection that is being made. */
  #opening: Promise<unknown> = Promise.resolve();
  /** Waiting for room, in order. */
  #queue: Job[] = [];
  #negotiated: Negotiated | undefined;
  #failure: Error | undefined;
  /** Writes that were confirmed, and how many of them a flush has made durable. */
  #written = 0;
  #flushed = 0;
  #writesLost: Error | undefined;

  constructor(options: NbdConnectOptions) {
    this.#options = options;
    this.#reconnects = options.reconnects ?? DEFAULT_RECONNECTS;
  }

  get connections(): number {
    return this.#lanes.length;
  }

  /** Opens one more connection. The first one fixes what every other must agree with, and may take its time. */
  async open(): Promise<Negotiated> {
    const lane: Lane = { connection: undefined, attempts: 0 };
    const { furtherHandshakeTimeoutMs = FURTHER_HANDSHAKE_TIMEOUT_MS } = this.#options;
    const hurry = this.#lanes.length === 0 ? {} : { handshakeTimeoutMs: furtherHandshakeTimeoutMs };
    const connection = await NbdConnection.open({ ...this.#options, ...hurry }, this);
    this.#adopt(lane, connection);
    this.#lanes.push(lane);
    return connection.negotiated;
  }

  /** Resolves with the reply when the server has done what was asked; rejects with what it said against it. */
  run(specification: JobSpecification, signal?: AbortSignal): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#start([specification], { resolve, reject, signal });
    });
  }

  /**
   * Resolves when the server has done all that was asked, in any order. The first failure takes the others back: when it is told, no
   * buffer is touched any more.
   */
  runAll(specifications: readonly JobSpecification[], signal?: AbortSignal): Promise<void> {
    if (specifications.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#start(specifications, { resolve: () => resolve(), reject, signal });
    });
  }

  #start(specifications: readonly JobSpecification[], waiting: Waiting): void {
    const refused = this.#refusal(specifications, waiting.signal);
    if (refused !== undefined) return waiting.reject(refused);
    const group = new JobGroup(specifications, { keeper: this, waiting, writtenBefore: this.#written });
    for (const job of group.jobs) this.#enqueue(job);
  }

  /** Why nothing of this is begun. */
  #refusal(specifications: readonly JobSpecification[], signal: AbortSignal | undefined): Error | undefined {
    if (signal?.aborted === true) return abortError(signal);
    const onlyReads = specifications.every(({ command }) => isRepeatable(command));
    return this.#failure ?? (onlyReads ? undefined : this.#writesLost);
  }

  #enqueue(job: Job): void {
    const connection = this.#queue.length === 0 ? this.#connectionFor(job) : undefined;
    if (connection === undefined) this.#queue.push(job);
    else connection.send(job);
  }

  async close(): Promise<void> {
    const closed = new VBackupError('VB_NBD_CLOSED', 'the NBD client was closed');
    this.#failure ??= closed;
    this.#closing.abort(closed);
    this.#rejectQueue(this.#failure);
    await Promise.all(this.#lanes.map(async ({ connection }) => connection?.close()));
    this.#lanes = [];
  }

  answered(connection: NbdConnection, job: Job, reply: Reply): void {
    for (const lane of this.#lanes) if (lane.connection === connection) lane.attempts = 0;
    const { error } = reply;
    if (error !== undefined) job.reject(error);
    else job.resolve(reply);
    this.#pump();
  }

  onDone({ specification: { command }, repeatable }: Job, { writtenBefore }: JobGroup): void {
    // A flush covers what was confirmed when it was asked for, and no more than that.
    if (command === NBD_CMD_FLUSH) this.#flushed = Math.max(this.#flushed, writtenBefore);
    else if (!repeatable) this.#written++;
  }

  takeBack(job: Job): void {
    const waits = this.#queue.indexOf(job);
    if (waits >= 0) this.#queue.splice(waits, 1);
    else {
      for (const { connection } of this.#lanes) if (connection?.abandon(job) === true) break;
    }
  }

  lost(connection: NbdConnection, loss: ConnectionLoss): void {
    if (this.#written > this.#flushed || loss.jobs.some((job) => !job.repeatable)) this.#writesLost ??= loss.error;
    const lane = this.#lanes.find((candidate) => candidate.connection === connection);
    if (lane !== undefined) lane.connection = undefined;
    const again: Job[] = [];
    const failed: (() => void)[] = [];
    for (const job of loss.jobs) {
      const error = this.#failure ?? this.#verdict(job, loss);
      if (error === undefined) again.push(job);
      else failed.push(() => job.reject(error));
    }
    this.#queue.unshift(...again);
    // One that fails takes back those that it was asked for with: they must be where they are looked for.
    for (const fail of failed) fail();
    if (this.#failure !== undefined) return;
    if (!mayComeBack(loss.error)) return this.#fail(loss.error);
    this.#pump();
    if (lane === undefined) return;
    this.#reconnect(lane, loss.error).catch((error: unknown) => this.#fail(asError(error)));
  }

  /** Why a job of a lost connection fails; undefined if it is sent again. */
  #verdict(job: Job, { error, culprit }: ConnectionLoss): Error | undefined {
    if (job === culprit || !job.repeatable || !mayComeBack(error)) return error;
    job.losses++;
    if (job.interruptions >= MAX_INTERRUPTIONS) {
      const message = `the NBD server ended the connection ${job.interruptions} times where it had to ${job.what}`;
      return new RequestError('VB_NBD_REQUEST_FAILED', message, { cause: error });
    }
    return job.losses > this.#reconnects ? error : undefined;
  }

  async #reconnect(lane: Lane, loss: Error): Promise<void> {
    let cause: Error = loss;
    while (lane.attempts < this.#reconnects) {
      const backoff = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * BACKOFF_FACTOR ** lane.attempts);
      lane.attempts++;
      try {
        await delay(backoff, undefined, { signal: this.#closing.signal });
        const connection = await this.#reopen();
        this.#adopt(lane, connection);
        return this.#pump();
      } catch (error) {
        if (this.#failure !== undefined) return;
        if (!(error instanceof VBackupError) || !mayComeBack(error)) throw error;
        cause = error;
      }
    }
    this.#retire(lane, cause);
  }

  /** One after the other: xapi plugs a disk for each connection, and parallel plugs get in each other's way. */
  #reopen(): Promise<NbdConnection> {
    const options = { ...this.#options, signal: this.#closing.signal };
    const opened = this.#opening.then(() => NbdConnection.open(options, this));
    this.#opening = opened.catch(() => undefined);
    return opened;
  }

  /** Takes a connection into use, if it is still one and shows the same export. */
  #adopt(lane: Lane, connection: NbdConnection): void {
    try {
      if (this.#failure !== undefined) throw this.#failure;
      if (connection.ended) throw new VBackupError('VB_NBD_DISCONNECTED', 'the NBD server closed a new connection');
      this.#agree(connection.negotiated);
    } catch (error) {
      connection.destroy(asError(error));
      throw error;
    }
    lane.connection = connection;
  }

  #retire(lane: Lane, cause: Error): void {
    this.#lanes = this.#lanes.filter((candidate) => candidate !== lane);
    if (this.#lanes.length > 0) return this.#pump();
    const message = `lost the NBD server, and ${this.#reconnects} reconnects did not help: ${cause.message}`;
    this.#fail(new VBackupError('VB_NBD_DISCONNECTED', message, { cause }));
  }

  /** @throws VBackupError VB_NBD_EXPORT_CHANGED */
  #agree(negotiated: Negotiated): void {
    this.#negotiated ??= negotiated;
    const { size, flags, structured, contexts } = this.#negotiated;
    const same =
      negotiated.size === size &&
      negotiated.flags === flags &&
      negotiated.structured === structured &&
      sameNames(negotiated.contexts, contexts);
    if (same) return;
    const message = `the export is another one on a later connection: ${negotiated.size} bytes instead of ${size}`;
    throw new VBackupError('VB_NBD_EXPORT_CHANGED', message);
  }

  #pump(): void {
    for (let [job] = this.#queue; job !== undefined; [job] = this.#queue) {
      const connection = this.#connectionFor(job);
      if (connection === undefined) return;
      this.#queue.shift();
      connection.send(job);
    }
  }

  /** The connection with the fewest bytes in flight, if one has room. */
  #connectionFor(job: Job): NbdConnection | undefined {
    let best: NbdConnection | undefined;
    const length = (job.specification.target ?? job.specification.payload)?.length ?? 0;
    for (const { connection } of this.#lanes) {
      if (connection === undefined || !connection.hasRoom(length)) continue;
      if (best === undefined || connection.bytesInFlight < best.bytesInFlight) best = connection;
    }
    return best;
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#rejectQueue(this.#failure);
    for (const { connection } of this.#lanes) connection?.destroy(this.#failure);
  }

  #rejectQueue(error: Error): void {
    for (const job of this.#queue.splice(0)) job.reject(error);
  }
}

/** The ids may differ: they hold for one connection. */
function sameNames(left: ReadonlyMap<number, string>, right: ReadonlyMap<number, string>): boolean {
  const names = new Set(right.values());
  return left.size === right.size && [...left.values()].every((name) => names.has(name));
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));
