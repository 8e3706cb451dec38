import type { CloseReason, Connected, ConnectOptions, EventSink, Handler } from '../native/index.js';
import { LibraryError, NativeCallError, perform } from '../native/index.js';
import { calls, type Reply, type Request, RequestSchema } from '../wire/index.js';

/** Makes the connection; stands for libvirt itself in tests. */
export type Connect = (options: ConnectOptions, sink: EventSink) => Connected;

/** Answers requests, one after the other: the first is `open`. */
export class Service {
  readonly #connect: Connect;
  readonly #send: (reply: Reply) => void;
  #handlers: ReadonlyMap<string, Handler>;

  constructor(connect: Connect, send: (reply: Reply) => void) {
    this.#connect = connect;
    this.#send = send;
    this.#handlers = byName([perform(calls.open, (options) => this.#open(options))]);
  }

  /** @throws ZodError for what is no request: whoever sent it cannot be answered */
  receive(message: unknown): void {
    this.#send(this.#answer(RequestSchema.parse(message)));
  }

  #answer(request: Request): Reply {
    const { id } = request;
    try {
      const handler = this.#handlers.get(request.call);
      if (handler === undefined) throw new Error(`there is no call ${request.call}`);
      return { kind: 'result', id, value: handler.run(request.arguments) };
    } catch (error) {
      if (error instanceof NativeCallError) {
        return { kind: 'refused', id, error: error.native, alive: error.alive };
      }
      const message = error instanceof Error ? error.message : String(error);
      return { kind: 'failed', id, reason: error instanceof LibraryError ? 'library' : 'internal', message };
    }
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
