import { setTimeout } from 'node:timers/promises';
import { abortError, VBackupError } from '../errors/index.js';

/** How long a source that was left may take to end. A pipe that says nothing would take for ever. */
const LEAVING_TIMEOUT_MS = 1000;

/** The bytes of a source that can be left while it says nothing; a generator alone would wait for its next bytes. */
export class StoppableSource {
  readonly #iterator: AsyncIterator<Buffer>;
  readonly #left = new AbortController();
  readonly #stop: AbortSignal;
  #begin = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>, signal: AbortSignal | undefined) {
    this.#iterator = source[Symbol.asyncIterator]();
    this.#stop = signal === undefined ? this.#left.signal : AbortSignal.any([signal, this.#left.signal]);
  }

  /** The first bytes, `length` at least if there are so many; {@link bytes} has them too. */
  async begin(length: number): Promise<Buffer> {
    try {
      while (this.#begin.length < length) {
        const next = await this.#next();
        if (next.done === true) break;
        this.#begin = Buffer.concat([this.#begin, next.value]);
      }
    } catch (error) {
      await this.#end();
      throw error;
    }
    return this.#begin;
  }

  /** Nobody wants more: who waits for bytes waits no longer. */
  leave(): void {
    this.#left.abort(new VBackupError('VB_ABORTED', 'the rest of the archive is not wanted'));
  }

  /** All of the source; may be asked for once. @throws what the source throws; the reason of the signal */
  async *bytes(): AsyncGenerator<Buffer, void, undefined> {
    try {
      if (this.#begin.length > 0) yield this.#begin;
      for (let next = await this.#next(); next.done !== true; next = await this.#next()) yield next.value;
    } finally {
      await this.#end();
    }
  }

  async #next(): Promise<IteratorResult<Buffer, unknown>> {
    const signal = this.#stop;
    if (signal.aborted) throw abortError(signal);
    const { promise, reject } = Promise.withResolvers<never>();
    const stop = (): void => reject(abortError(signal));
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await Promise.race([this.#iterator.next(), promise]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** A generator that waits inside of itself ends only when that is over, which may be never. */
  async #end(): Promise<void> {
    const ended = this.#iterator.return?.();
    if (!this.#stop.aborted) {
      await ended;
      return;
    }
    const timer = new AbortController();
    const waited = setTimeout(LEAVING_TIMEOUT_MS, undefined, { signal: timer.signal });
    // What a source says when it is left interests nobody.
    await Promise.race([ended, waited]).catch(() => undefined);
    timer.abort();
    await waited.catch(() => undefined);
  }
}
