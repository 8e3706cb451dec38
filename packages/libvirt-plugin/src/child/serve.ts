import { setTimeout as delay } from 'node:timers/promises';
import * as v from 'valibot';
import type { PausedReason } from '../connection/index.js';
import type { CloseReason, Connected, ConnectOptions, EventSink, Handler } from '../native/index.js';
import { LibraryError, NativeCallError, perform } from '../native/index.js';
import { calls, type Reply, type Request, RequestSchema } from '../wire/index.js';
import { Owed, scratchOf } from './owed.js';

/** Makes the connection; stands for libvirt itself in tests. */
export type Connect = (options: ConnectOptions, sink: EventSink) => Connected;

/** A guest that cannot be thawed for so long has no agent that could. */
const UNDO_TIMEOUT_MS = 60_000;
const UNDO_PAUSE_MS = 500;

/** virErrorNumber (virterror.h). */
const VIR_ERR_NO_DOMAIN = 42;
const VIR_ERR_OPERATION_INVALID = 55;

export interface ServiceOptions {
  /** Told before anything is done that must be taken back, and after all of it was. */
  readonly onOwed?: ((owed: boolean) => void) | undefined;
  readonly undoTimeoutMs?: number | undefined;
}

/** Answers requests, one after the other: the first is `open`. */
export class Service {
  readonly #connect: Connect;
  readonly #send: (reply: Reply) => void;
  readonly #options: ServiceOptions;
  readonly #owed = new Owed();
  #handlers: ReadonlyMap<string, Handler>;

  constructor(connect: Connect, send: (reply: Reply) => void, options: ServiceOptions = {}) {
    this.#connect = connect;
    this.#send = send;
    this.#options = options;
    this.#handlers = byName([perform(calls.open, (options) => this.#open(options))]);
  }

  /** @throws ValiError for what is no request: whoever sent it cannot be answered */
  receive(message: unknown): void {
    this.#send(this.#answer(v.parse(RequestSchema, message)));
  }

  /**
   * Whoever sent the requests is gone: lets the guests go on that they left standing still, and ends their jobs, so that no
   * scratch file fills that nobody looks after. For a bounded time. Checkpoints and files wait for their next run.
   */
  async abandon(): Promise<void> {
    const deadline = AbortSignal.timeout(this.#options.undoTimeoutMs ?? UNDO_TIMEOUT_MS);
    const until = async (done: () => boolean): Promise<void> => {
      while (!done() && !deadline.aborted) await delay(UNDO_PAUSE_MS);
    };
    const { frozen, paused, jobs } = this.#owed;
    // A guest that is paused cannot be thawed.
    for (const domain of paused) await until(() => this.#undo(() => this.#resume(domain, 'user')));
    for (const domain of frozen) {
      await until(() => this.#undo(() => void this.#call(calls.thaw.name, { domain })));
    }
    for (const [domain, scratch] of jobs) await until(() => this.#undo(() => this.#endJob(domain, scratch)));
  }

  #endJob(domain: string, scratch: string): void {
    const xml = this.#call(calls.backupXml.name, { domain });
    if (typeof xml !== 'string' || scratchOf(xml) !== scratch) return;
    try {
      this.#call(calls.abortJob.name, { domain });
    } catch (error) {
      if (!isNative(error, VIR_ERR_OPERATION_INVALID)) throw error;
    }
    // Its scratch file may have been full.
    this.#resume(domain, 'io-error');
  }

  #resume(domain: string, reason: PausedReason): void {
    const facts = v.parse(calls.findDomain.result, this.#call(calls.findDomain.name, { uuid: domain }));
    if (facts.state === 'paused' && facts.pausedReason === reason) this.#call(calls.resumeDomain.name, { domain });
  }

  /** @returns whether it is done; nobody is left who could be told that it is not */
  #undo(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      return isNative(error, VIR_ERR_NO_DOMAIN);
    }
  }

  #call(call: string, values: unknown): unknown {
    return this.#run({ id: 1, call, arguments: values });
  }

  #answer(request: Request): Reply {
    const { id } = request;
    try {
      return { kind: 'result', id, value: this.#run(request) };
    } catch (error) {
      if (error instanceof NativeCallError) {
        return { kind: 'refused', id, error: error.native, alive: error.alive };
      }
      const message = error instanceof Error ? error.message : String(error);
      return { kind: 'failed', id, reason: error instanceof LibraryError ? 'library' : 'internal', message };
    }
  }

  #run(request: Request): unknown {
    const handler = this.#handlers.get(request.call);
    if (handler === undefined) throw new Error(`there is no call ${request.call}`);
    this.#note(() => this.#owed.before(request.call, request.arguments));
    const value = handler.run(request.arguments);
    this.#note(() => this.#owed.after(request.call, request.arguments));
    return value;
  }

  #note(change: () => void): void {
    const before = this.#owed.any;
    change();
    const after = this.#owed.any;
    if (after !== before) this.#options.onOwed?.(after);
  }

  #open(options: ConnectOptions): void {
    const sink: EventSink = {
      event: (event) => this.#send({ kind: 'event', event }),
      lost: (reason: CloseReason) => this.#send({ kind: 'lost', reason }),
    };
    const connected = this.#connect(options, sink);
    this.#handlers = byName([...connected.handlers, perform(calls.close, () => void connected.close())]);
  }
}

const byName = (handlers: readonly Handler[]): ReadonlyMap<string, Handler> =>
  new Map(handlers.map((handler) => [handler.name, handler]));

const isNative = (error: unknown, code: number): boolean =>
  error instanceof NativeCallError && error.native.code === code;
