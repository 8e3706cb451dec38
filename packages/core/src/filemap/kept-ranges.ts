import type { Extent } from '../extent/index.js';

/** A window is read and kept as a whole: its map has at most this length. */
const WINDOW_LENGTH = 1024 * 1024 * 1024;
/** Data ranges that are kept, over all windows, each of which counts as one more: 64 MiB. */
const MAXIMUM_KEPT_RANGES = 4 * 1024 * 1024;

/** The data ranges of one window, ascending: where each begins, and where it ends. */
interface Window {
  readonly starts: Float64Array;
  readonly ends: Float64Array;
}

/** Answers what is data by binary search; reads every window once, and forgets the oldest when it holds too much. */
export class KeptRanges {
  readonly #read: (window: Extent) => AsyncIterable<Extent>;
  readonly #loading = new Map<number, Promise<Window>>();
  readonly #windows = new Map<number, Window>();
  readonly #maximum: number;
  #kept = 0;

  /** @param maximum - data ranges that are kept, unless one window alone has more */
  constructor(read: (window: Extent) => AsyncIterable<Extent>, maximum = MAXIMUM_KEPT_RANGES) {
    this.#read = read;
    this.#maximum = maximum;
  }

  async has(offset: number): Promise<boolean> {
    const index = Math.floor(offset / WINDOW_LENGTH);
    const { starts, ends } = this.#windows.get(index) ?? (await this.#load(index));
    let [low, high] = [0, starts.length];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((ends[middle] ?? 0) > offset) high = middle;
      else low = middle + 1;
    }
    const start = starts[low];
    return start !== undefined && start <= offset;
  }

  /** Whoever asks for a window that is being read waits for it. */
  #load(index: number): Promise<Window> {
    const begun = this.#loading.get(index);
    if (begun !== undefined) return begun;
    const loading = this.#readWindow(index).finally(() => this.#loading.delete(index));
    this.#loading.set(index, loading);
    return loading;
  }

  async #readWindow(index: number): Promise<Window> {
    const starts: number[] = [];
    const ends: number[] = [];
    for await (const { offset, length } of this.#read({ offset: index * WINDOW_LENGTH, length: WINDOW_LENGTH })) {
      starts.push(offset);
      ends.push(offset + length);
    }
    const window = { starts: Float64Array.from(starts), ends: Float64Array.from(ends) };
    this.#windows.set(index, window);
    this.#kept += starts.length + 1;
    for (const [oldest, { starts: dropped }] of this.#windows) {
      if (this.#kept <= this.#maximum || oldest === index) break;
      this.#windows.delete(oldest);
      this.#kept -= dropped.length + 1;
    }
    return window;
  }
}
