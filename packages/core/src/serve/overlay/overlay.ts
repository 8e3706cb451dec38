import { randomBytes } from 'node:crypto';
import { VBackupError } from '../../errors/index.js';
import type { Extent } from '../../extent/index.js';
import {
  decodeHeader,
  encodeHeader,
  encodeMark,
  ID_LENGTH,
  isMarkedClosed,
  layoutOf,
  type OverlayBase,
  type OverlayHeader,
  type OverlayLayout,
  STRUCTURE_LENGTH,
} from './overlay-format.js';
import { OverlayMap, type StateExtent } from './overlay-map.js';
import { repairMap } from './overlay-repair.js';
import type { OverlayStore } from './overlay-store.js';

/** Makes the structures of a new overlay, durably. Everything else of its file must read as zero. */
export async function formatOverlay(store: OverlayStore, base: OverlayBase): Promise<void> {
  await store.write(encodeHeader({ ...base, overlayId: randomBytes(ID_LENGTH) }), 0);
  await store.write(encodeMark(true), layoutOf(base.size).markOffset);
  await store.sync();
}

/**
 * What was written to a disk, in a file. Bytes go there at once; which blocks they are is kept in memory until `flush`, which
 * makes the bytes durable first and writes the map behind them. So whatever is lost in a crash, a block of the map has
 * the bytes that it speaks of. Not for overlapping changes: their order is the caller's.
 */
export class Overlay implements AsyncDisposable {
  readonly #store: OverlayStore;
  readonly #layout: OverlayLayout;
  readonly #map: OverlayMap;
  /** A write ended since the last sync began: one that was on its way then may not be covered by it. */
  #unsynced = false;
  #flushing: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #failure: unknown;

  private constructor(store: OverlayStore, layout: OverlayLayout, map: OverlayMap) {
    this.#store = store;
    this.#layout = layout;
    this.#map = map;
  }

  /**
   * Opens the overlay of `base`; `store` is its own from then on.
   * @throws VBackupError VB_OVERLAY_OTHER when it belongs to something else, VB_OVERLAY_DAMAGED, VB_UNSUPPORTED
   */
  static async open(store: OverlayStore, base: OverlayBase): Promise<Overlay> {
    const bytes = Buffer.alloc(STRUCTURE_LENGTH);
    await store.read(bytes, 0);
    const header = decodeHeader(bytes);
    refuseOther(header, base);
    const layout = layoutOf(base.size);
    await store.read(bytes, layout.markOffset);
    const { overlayId } = header;
    if (!isMarkedClosed(bytes)) await repairMap(store, layout, overlayId);
    await store.write(encodeMark(false), layout.markOffset);
    await store.sync();
    return new Overlay(store, layout, new OverlayMap({ store, layout, overlayId }));
  }

  /** What is where, over the whole of `range`; true run by run, when each is given out. */
  runs(range: Extent): AsyncGenerator<StateExtent> {
    return this.#map.runs(range);
  }

  /** Bytes of blocks whose state is data. */
  read(target: Buffer, offset: number): Promise<void> {
    return this.#store.read(target, this.#layout.dataOffset + offset);
  }

  /** Writes bytes, which count only where the state of their blocks is data, or becomes it. */
  async write(bytes: Buffer, offset: number): Promise<void> {
    this.#refuseFailed();
    await this.#store.write(bytes, this.#layout.dataOffset + offset);
    this.#unsynced = true;
  }

  /** As {@link write}, of zeros. */
  async writeZeros({ offset, length }: Extent): Promise<void> {
    this.#refuseFailed();
    await this.#store.zero({ offset: this.#layout.dataOffset + offset, length });
    this.#unsynced = true;
  }

  /** The blocks of `range`, which must all have been written, hold data. */
  hold(range: Extent): Promise<void> {
    return this.#map.set(range, 'data');
  }

  /** The blocks of `range` are zero, and what was written to them is given up. */
  async clear(range: Extent): Promise<void> {
    this.#refuseFailed();
    let held: Extent | undefined;
    for await (const { offset, length, state } of this.#map.runs(range)) {
      if (state !== 'data') continue;
      const from = held?.offset ?? offset;
      held = { offset: from, length: offset + length - from };
    }
    await this.#map.set(range, 'zero');
    if (held === undefined) return;
    // What lies between is of blocks that are no data: it means nothing.
    await this.#store.discard({ offset: this.#layout.dataOffset + held.offset, length: held.length });
  }

  /** What calls that have returned wrote is durable when this returns. Several at a time share the work. */
  flush(): Promise<void> {
    this.#next ??= (this.#flushing ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        this.#flushing = this.#commit();
        return this.#flushing;
      });
    return this.#next;
  }

  /** Flushes, marks the overlay as closed in order, and closes its file, in any case. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.flush();
      await this.#store.write(encodeMark(true), this.#layout.markOffset);
      await this.#store.sync();
    } finally {
      await this.#store[Symbol.asyncDispose]();
    }
  }

  async #commit(): Promise<void> {
    this.#refuseFailed();
    // The map as it is now speaks of bytes that are written, and that the next sync makes durable.
    const pages = this.#map.takeDirty();
    try {
      if (this.#unsynced) {
        this.#unsynced = false;
        await this.#sync();
      }
      if (pages.length === 0) return;
      for (const { bytes, position } of pages) await this.#store.write(bytes, position);
      await this.#sync();
    } catch (error) {
      this.#map.giveBack(pages);
      throw error;
    }
    this.#map.written(pages);
  }

  /** After a sync that failed nobody knows what the system has forgotten: no later one may succeed. */
  async #sync(): Promise<void> {
    try {
      await this.#store.sync();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  #refuseFailed(): void {
    if (this.#failure === undefined) return;
    throw new VBackupError('VB_IO', 'the overlay could not be made durable, and takes no more changes', {
      cause: this.#failure,
      cure: 'see to the disk that the overlay lies on, then serve again: it holds what was flushed before',
    });
  }
}

function refuseOther(header: OverlayHeader, base: OverlayBase): void {
  if (header.id === base.id && header.disk === base.disk && header.size === base.size) return;
  const name = ({ id, disk, size }: OverlayBase): string => `${disk} of ${id} with ${size} bytes`;
  throw new VBackupError('VB_OVERLAY_OTHER', `the overlay belongs to ${name(header)}, not to ${name(base)}`, {
    cure: 'serve what it belongs to, or name another folder for the overlay',
  });
}
