import type { WithSignal } from '../../hypervisor/index.js';
import { type Slot, SlotPool } from '../../memory/slot-pool.js';

interface Entry {
  readonly slot: Slot;
  readonly bytes: Promise<Buffer>;
  users: number;
}

/** Decoded frames, the most recently used ones, in a fixed number of slots. A frame that is in use stays. */
export class FrameCache implements Disposable {
  readonly #slots: SlotPool;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  /** Slots that nobody has asked for; below zero, so many are waited for. */
  #free: number;

  constructor(shape: { readonly count: number; readonly length: number }) {
    this.#slots = new SlotPool(shape);
    this.#free = shape.count;
  }

  /** Lets `use` look at a frame; `load` fills it (into a slot, of which it returns a part) if it is not there. */
  async use(
    key: string,
    parts: { readonly load: (slot: Buffer) => Promise<Buffer>; readonly use: (bytes: Buffer) => void },
    options: WithSignal = {},
  ): Promise<void> {
    const entry = this.#known(key) ?? (await this.#load(key, parts.load, options));
    try {
      parts.use(await entry.bytes);
    } catch (error) {
      this.#drop(key, entry);
      throw error;
    } finally {
      entry.users -= 1;
      if (this.#free < 0) this.#evictIdle();
    }
  }

  /** Forgets every frame. */
  [Symbol.dispose](): void {
    for (const { slot, users } of this.#entries.values()) if (users === 0) slot.release();
    this.#entries.clear();
    this.#slots[Symbol.dispose]();
  }

  #known(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    entry.users += 1;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  async #load(key: string, load: (slot: Buffer) => Promise<Buffer>, options: WithSignal): Promise<Entry> {
    if (this.#free <= 0) this.#evictIdle();
    this.#free -= 1;
    const slot = await this.#slots.acquire(options).catch((error: unknown) => {
      this.#free += 1;
      throw error;
    });
    // Someone else may have loaded it in the meantime.
    const known = this.#known(key);
    if (known !== undefined) {
      this.#free += 1;
      slot.release();
      return known;
    }
    const bytes = load(slot.buffer);
    bytes.catch(() => undefined);
    const entry: Entry = { slot, bytes, users: 1 };
    this.#entries.set(key, entry);
    return entry;
  }

  /** Gives the slot of the entry that was not used for longest back. */
  #evictIdle(): void {
    for (const [key, entry] of this.#entries) {
      if (entry.users > 0) continue;
      this.#entries.delete(key);
      this.#release(entry);
      return;
    }
  }

  #drop(key: string, entry: Entry): void {
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    this.#release(entry);
  }

  #release(entry: Entry): void {
    this.#free += 1;
    entry.slot.release();
  }
}
