import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { CloseReason, Connected, ConnectOptions, EventSink, Handler } from '../native/index.js';
import { LibraryError, NativeCallError, perform } from '../native/index.js';
import { calls, type Reply, type Request, RequestSchema } from '../wire/index.js';

/** Makes the connection; stands for libvirt itself in tests. */
export type Connect = (options: ConnectOptions, sink: EventSink) => Connected;

/** A guest that cannot be thawed for so long has no agent that could. */
const THAW_TIMEOUT_MS = 60_000;
const THAW_PAUSE_MS = 500;

const DomainSchema = z.object({ domain: z.string() });

export interface ServiceOptions {
  /** Told before the first guest is frozen, and after the last one is thawed. */
  readonly onFrozen?: ((frozen: boolean) => void) | undefined;
  readonly thawTimeoutMs?: number | undefined;
}

/** Answers requests, one after the other: the first is `open`. */
export class Service {
  readonly #connect: Connect;
  readonly #send: (reply: Reply) => void;
  readonly #options: ServiceOptions;
  /** Domains that were asked to freeze, and were not thawed since. */
  readonly #frozen = new Set<string>();
  #handlers: ReadonlyMap<string, Handler>;

  constructor(connect: Connect, send: (reply: Reply) => void, options: ServiceOptions = {}) {
    this.#connect = connect;
    this.#send = send;
    this.#options = options;
    this.#handlers = byName([perform(calls.open, (options) => this.#open(options))]);
  }

  /** @throws ZodError for what is no request: whoever sent it cannot be answered */
  receive(message: unknown): void {
    this.#send(this.#answer(RequestSchema.parse(message)));
  }

  /** Whoever sent the requests is gone: thaws what they left frozen, for a bounded time. */
  async abandon(): Promise<void> {
    const deadline = AbortSignal.timeout(this.#options.thawTimeoutMs ?? THAW_TIMEOUT_MS);
    for (const domain of this.#frozen) {
      while (!deadline.aborted && !this.#thaw(domain)) await delay(THAW_PAUSE_MS);
    }
  }

  #thaw(domain: string): boolean {
    try {
      this.#run({ id: 1, call: calls.thaw.name, arguments: { domain } });
      return true;
    } catch {
      // A freeze that was asked for in vain may still happen, and nobody is left who could be told.
      return false;
    }
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
    const domain = DomainSchema.safeParse(request.arguments).data?.domain;
    if (request.call === calls.freeze.name && domain !== undefined) this.#note((frozen) => frozen.add(domain));
    const value = handler.run(request.arguments);
    if (request.call === calls.thaw.name && domain !== undefined) this.#note((frozen) => frozen.delete(domain));
    if (request.call === calls.close.name) this.#note((frozen) => frozen.clear());
    return value;
  }

  #note(change: (frozen: Set<string>) => void): void {
    const before = this.#frozen.size > 0;
    change(this.#frozen);
    const after = this.#frozen.size > 0;
    if (after !== before) this.#options.onFrozen?.(after);
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
