import type { WithSignal } from '../../hypervisor/index.js';
import { BuddyBlocks } from '../../memory/buddy.js';
import { LentBlocks } from '../../memory/lent-blocks.js';
import type { Loan } from '../../memory/loan.js';
import { spareMemory } from '../../memory/spare-memory.js';
import { WaitingLine } from '../../memory/waiting-line.js';

/** Frames begin and end on whole pages of this length, but for a disk's last one. */
const SMALLEST_BLOCK = 64 * 1024;

export interface FrameCacheShape {
  /** What all frames together may take; at least one of the longest fits in any case. */
  readonly bytes: number;
  /** The longest frame, in bytes. */
  readonly longest: number;
}

/** How a frame comes into the cache. */
export interface FrameOrigin {
  /** In bytes. */
  readonly length: number;
  /**
   * Fills all of `bytes`, which lie in shared memory. Whoever asks for the frame meanwhile waits for the same bytes, so
   * that one who is gone must not abort it.
   */
  readonly load: (bytes: Buffer) => Promise<void>;
}

/** How a frame comes into the cache, and what is wanted of it. */
export interface FrameUse extends FrameOrigin {
  /** Looks at the frame; it is gone when this returns. */
  readonly use: (bytes: Buffer) => void;
}

interface Entry {
  readonly offset: number;
  readonly bytes: Promise<Buffer>;
  users: number;
}

/**
 * Decoded frames, the most recently used ones, within a number of bytes; of one disk, or of many. A frame is loaded once,
 * however many ask for it at once; one that is in use stays.
 */
export class FrameCache implements Disposable {
  readonly #memory: SharedArrayBuffer;
  readonly #blocks: BuddyBlocks;
  readonly #lent: LentBlocks;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  readonly #line = new WaitingLine<number, number>();
  #disposed = false;

  constructor({ bytes, longest }: FrameCacheShape) {
    let largest = SMALLEST_BLOCK;
    while (largest < longest) largest *= 2;
    const length = Math.max(1, Math.floor(bytes / largest)) * largest;
    this.#memory = spareMemory.take(length);
    this.#blocks = new BuddyBlocks({ length, smallest: SMALLEST_BLOCK, largest });
    this.#lent = new LentBlocks({ length, block: largest });
  }

  /** Whether the frame is there, or on its way. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Lets `use` look at a frame, loaded if it is not there. The signal ends the wait for room, not the loading. */
  async use(key: string, parts: FrameUse, options: WithSignal = {}): Promise<void> {
    const entry = this.#known(key) ?? (await this.#load(key, parts, options));
    try {
      parts.use(await entry.bytes);
    } catch (error) {
      this.#forget(key, entry);
      throw error;
    } finally {
      this.#leave(key, entry);
    }
  }

  /**
   * Lends a frame, loaded if it is not there: it stays until the loan is disposed, once. Undefined where loans keep too much
   * of the memory already: then the frame is there to be used.
   */
  async lend(key: string, parts: FrameOrigin, options: WithSignal = {}): Promise<Loan | undefined> {
    const entry = this.#known(key) ?? (await this.#load(key, parts, options));
    let lent = false;
    try {
      const bytes = await entry.bytes;
      lent = this.#lent.take(entry.offset);
      return lent ? { parts: [bytes], [Symbol.dispose]: () => this.#takeBack(key, entry) } : undefined;
    } catch (error) {
      this.#forget(key, entry);
      throw error;
    } finally {
      if (!lent) this.#leave(key, entry);
    }
  }

  /** Forgets every frame. Memory that a thread may still write to is left to the collector. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const [key, entry] of this.#entries) this.#forget(key, entry);
    if (this.#blocks.isIdle) spareMemory.give(this.#memory);
  }

  #takeBack(key: string, entry: Entry): void {
    this.#lent.give(entry.offset);
    this.#leave(key, entry);
  }

  #leave(key: string, entry: Entry): void {
    entry.users -= 1;
    if (entry.users === 0 && this.#entries.get(key) !== entry) this.#blocks.give(entry.offset);
    this.#serveLine();
  }

  #known(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    entry.users += 1;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  async #load(key: string, { length, load }: FrameOrigin, options: WithSignal): Promise<Entry> {
    options.signal?.throwIfAborted();
    const free = this.#line.isEmpty ? this.#room(length) : undefined;
    const offset = free ?? (await this.#line.join(length, options.signal));
    // Someone else may have loaded it in the meantime.
    const known = this.#known(key);
    if (known !== undefined) {
      this.#blocks.give(offset);
      this.#serveLine();
      return known;
    }
    const target = Buffer.from(this.#memory, offset, length);
    const bytes = load(target).then(() => target);
    bytes.catch(() => undefined);
    const entry: Entry = { offset, bytes, users: 1 };
    this.#entries.set(key, entry);
    return entry;
  }

  /** Room for so many bytes, if what nobody uses makes place for it, the least recently used first. */
  #room(length: number): number | undefined {
    const free = this.#blocks.take(length);
    if (free !== undefined) return free;
    for (const [key, entry] of this.#entries) {
      if (entry.users > 0) continue;
      this.#forget(key, entry);
      const made = this.#blocks.take(length);
      if (made !== undefined) return made;
    }
    return undefined;
  }

  #serveLine(): void {
    for (let wish = this.#line.first; wish !== undefined; wish = this.#line.first) {
      const offset = this.#room(wish);
      if (offset === undefined) return;
      this.#line.serve(offset);
    }
  }

  /** Its memory is free once nobody looks at it. */
  #forget(key: string, entry: Entry): void {
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    if (entry.users === 0) this.#blocks.give(entry.offset);
  }
}
