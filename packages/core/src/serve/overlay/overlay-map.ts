import { type Extent, endOf, splitAt } from '../../extent/index.js';
import {
  BLOCK_LENGTH,
  BLOCKS_PER_PAGE,
  choosePage,
  damaged,
  decodeSlot,
  encodePage,
  type OverlayLayout,
  PAGE_SPAN,
  STATES_LENGTH,
  STRUCTURE_LENGTH,
} from './overlay-format.js';
import type { OverlayStore } from './overlay-store.js';
import { areStates, type BlockState, setStates, stateRuns } from './states-bitmap.js';

interface Page {
  readonly index: number;
  /** What the file holds; 0 where it was never written. */
  generation: number;
  readonly states: Buffer;
}

/** What one page is to be in the file, as of the moment of {@link OverlayMap.takeDirty}. */
export interface PendingPage {
  readonly index: number;
  readonly position: number;
  readonly bytes: Buffer;
}

export interface StateExtent extends Extent {
  readonly state: BlockState;
}

export interface OverlayMapOptions {
  readonly store: OverlayStore;
  readonly layout: OverlayLayout;
  readonly overlayId: Buffer;
}

/**
 * Which blocks an overlay holds. Pages are read when they are needed, and kept: 4 KiB for each 62.5 MiB of the disk that
 * was touched. Changes stay in memory until they are taken.
 */
export class OverlayMap {
  readonly #options: OverlayMapOptions;
  readonly #loading = new Map<number, Promise<Page>>();
  readonly #pages = new Map<number, Page>();
  readonly #dirty = new Set<Page>();

  constructor(options: OverlayMapOptions) {
    this.#options = options;
  }

  /** Complete cover of `range`, ascending; every run is true when it is given out. */
  async *runs(range: Extent): AsyncGenerator<StateExtent> {
    for (const part of splitAt([range], PAGE_SPAN)) {
      const page = await this.#load(pageOf(part));
      for (const { state, first, count } of stateRuns(page.states, blocksOf(part))) {
        const from = page.index * PAGE_SPAN + first * BLOCK_LENGTH;
        const offset = Math.max(from, part.offset);
        yield { state, offset, length: Math.min(from + count * BLOCK_LENGTH, endOf(part)) - offset };
      }
    }
  }

  /** The states of all blocks of `range`, which are whole ones but for the last of the disk. */
  async set(range: Extent, state: BlockState): Promise<void> {
    // All of it or nothing: a page that cannot be read is found out before the first is changed.
    const parts = [...splitAt([range], PAGE_SPAN)];
    for (const part of parts) await this.#load(pageOf(part));
    for (const part of parts) {
      const page = await this.#load(pageOf(part));
      const blocks = blocksOf(part);
      const [run] = stateRuns(page.states, blocks);
      if (run?.state === state && run.count === blocks.count) continue;
      setStates(page.states, { ...blocks, state });
      this.#dirty.add(page);
    }
  }

  /** What must be written now, frozen: later changes make the pages dirty again. */
  takeDirty(): readonly PendingPage[] {
    const { layout, overlayId } = this.#options;
    const pending = [...this.#dirty].map(({ index, generation, states }) => {
      const page = { index, generation: generation + 1, states };
      return { index, position: layout.slotOffset(index, page.generation), bytes: encodePage(page, overlayId) };
    });
    this.#dirty.clear();
    return pending;
  }

  /** What was taken is durable. */
  written(pending: readonly PendingPage[]): void {
    for (const page of this.#pagesOf(pending)) page.generation += 1;
  }

  /** What was taken could not be written. */
  giveBack(pending: readonly PendingPage[]): void {
    for (const page of this.#pagesOf(pending)) this.#dirty.add(page);
  }

  *#pagesOf(pending: readonly PendingPage[]): Generator<Page> {
    for (const { index } of pending) {
      const page = this.#pages.get(index);
      if (page !== undefined) yield page;
    }
  }

  async #load(index: number): Promise<Page> {
    const loaded = this.#pages.get(index);
    if (loaded !== undefined) return loaded;
    const loading = this.#loading.get(index) ?? this.#read(index).finally(() => this.#loading.delete(index));
    this.#loading.set(index, loading);
    return await loading;
  }

  async #read(index: number): Promise<Page> {
    const { store, layout, overlayId } = this.#options;
    const both = Buffer.alloc(2 * STRUCTURE_LENGTH);
    await store.read(both, layout.slotOffset(index, 0));
    const slots = [both.subarray(0, STRUCTURE_LENGTH), both.subarray(STRUCTURE_LENGTH)];
    const found = choosePage(
      slots.map((slot) => decodeSlot(slot, { index, overlayId })),
      { torn: 0 },
    );
    const { generation, states } = found ?? { generation: 0, states: Buffer.alloc(STATES_LENGTH) };
    if (!areStates(states)) throw damaged(`page ${index} of its map holds a state that is none`);
    const page = { index, generation, states };
    this.#pages.set(index, page);
    return page;
  }
}

const pageOf = (part: Extent): number => Math.floor(part.offset / PAGE_SPAN);

/** The blocks of a range within one page, counted from the page's first. */
function blocksOf(part: Extent): { readonly first: number; readonly count: number } {
  const first = Math.floor(part.offset / BLOCK_LENGTH) % BLOCKS_PER_PAGE;
  const begin = part.offset - (part.offset % BLOCK_LENGTH);
  return { first, count: Math.ceil((endOf(part) - begin) / BLOCK_LENGTH) };
}
