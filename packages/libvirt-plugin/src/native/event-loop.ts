import koffi from 'koffi';
import type { Library } from './library.js';
import type { Pointer } from './memory.js';
import { eventsOf, wishOf } from './poll-flags.js';

const HandleCallback = koffi.proto('void', ['int', 'int', 'int', 'void *']);
const TimeoutCallback = koffi.proto('void', ['int', 'void *']);
const FreeCallback = koffi.proto('void', ['void *']);

interface Handle {
  readonly poll: ReturnType<typeof koffi.node.poll>;
  readonly fd: number;
  readonly callback: Pointer;
  readonly opaque: Pointer | null;
  readonly free: Pointer | null;
}

interface Timeout {
  readonly callback: Pointer;
  readonly opaque: Pointer | null;
  readonly free: Pointer | null;
  /** −1 is off; 0 means as soon as possible, again and again. */
  periodMs: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * libvirt's events on the loop of Node (virEventRegisterImpl): file descriptors are polled by libuv, timers are Node's. All
 * of it happens in the only thread, between calls.
 */
export class EventLoop {
  readonly #handles = new Map<number, Handle>();
  readonly #timeouts = new Map<number, Timeout>();
  #lastId = 0;

  /** To be done once in a process, before the first connection; it stays for ever. */
  install(library: Library): void {
    library.registerEventLoop(
      register('int', ['int', 'int', 'void *', 'void *', 'void *'], this.#addHandle),
      register('void', ['int', 'int'], this.#updateHandle),
      register('int', ['int'], this.#removeHandle),
      register('int', ['int', 'void *', 'void *', 'void *'], this.#addTimeout),
      register('void', ['int', 'int'], this.#updateTimeout),
      register('int', ['int'], this.#removeTimeout),
    );
  }

  /** What libvirt still waits for; 0 after the last connection is closed. */
  get size(): number {
    return this.#handles.size + this.#timeouts.size;
  }

  readonly #addHandle = (
    fd: number,
    events: number,
    callback: Pointer,
    opaque: Pointer | null,
    free: Pointer | null,
  ): number => {
    const id = ++this.#lastId;
    const wish = wishOf(events);
    const poll = koffi.node.poll(fd, wish, (...report: readonly unknown[]) => this.#fire(id, report));
    if (!wish.readable && !wish.writable) poll.stop();
    this.#handles.set(id, { poll, fd, callback, opaque, free });
    return id;
  };

  readonly #updateHandle = (id: number, events: number): void => {
    const { poll } = this.#handles.get(id) ?? {};
    const wish = wishOf(events);
    if (wish.readable || wish.writable) poll?.start(wish, (...report: readonly unknown[]) => this.#fire(id, report));
    else poll?.stop();
  };

  readonly #removeHandle = (id: number): number => {
    const handle = this.#handles.get(id);
    if (handle === undefined) return -1;
    this.#handles.delete(id);
    handle.poll.close();
    releaseLater(handle);
    return 0;
  };

  #fire(id: number, report: readonly unknown[]): void {
    const handle = this.#handles.get(id);
    if (handle === undefined) return;
    koffi.call(handle.callback, HandleCallback, id, handle.fd, eventsOf(report), handle.opaque);
  }

  readonly #addTimeout = (
    periodMs: number,
    callback: Pointer,
    opaque: Pointer | null,
    free: Pointer | null,
  ): number => {
    const id = ++this.#lastId;
    this.#timeouts.set(id, { callback, opaque, free, periodMs, timer: undefined });
    this.#schedule(id);
    return id;
  };

  readonly #updateTimeout = (id: number, periodMs: number): void => {
    const timeout = this.#timeouts.get(id);
    if (timeout === undefined) return;
    timeout.periodMs = periodMs;
    this.#schedule(id);
  };

  readonly #removeTimeout = (id: number): number => {
    const timeout = this.#timeouts.get(id);
    if (timeout === undefined) return -1;
    this.#timeouts.delete(id);
    clearTimeout(timeout.timer);
    releaseLater(timeout);
    return 0;
  };

  #schedule(id: number): void {
    const timeout = this.#timeouts.get(id);
    if (timeout === undefined) return;
    clearTimeout(timeout.timer);
    timeout.timer = timeout.periodMs < 0 ? undefined : setTimeout(() => this.#expire(id), timeout.periodMs);
  }

  #expire(id: number): void {
    const timeout = this.#timeouts.get(id);
    if (timeout === undefined) return;
    koffi.call(timeout.callback, TimeoutCallback, id, timeout.opaque);
    this.#schedule(id);
  }
}

/** libvirt holds locks while it removes something, which its own function to free it would wait for. */
function releaseLater({ free, opaque }: { readonly free: Pointer | null; readonly opaque: Pointer | null }): void {
  if (free !== null) setImmediate(() => koffi.call(free, FreeCallback, opaque));
}

/** A JS function for C to call, for as long as this process lives. */
export function register<Arguments extends readonly unknown[]>(
  result: string,
  parameters: readonly string[],
  work: (...values: Arguments) => unknown,
): Pointer {
  return koffi.register(work, koffi.pointer(koffi.proto(result, [...parameters])));
}
