import type { Extent } from './extent.js';
import { coalesce, endOf } from './operations.js';

/** So many extents are held in memory … */
const EXTENT_LIMIT = 500_000;
/** … and beyond that, near ones are joined; so near at first. */
const FIRST_GAP = 64 * 1024;

/** Collects extents in a bounded memory: where there are too many, near ones are joined, with what lies between. */
export class ExtentList {
  readonly #limit: number;
  #extents: Extent[] = [];
  #gap = 0;

  constructor({ limit = EXTENT_LIMIT }: { readonly limit?: number } = {}) {
    this.#limit = limit;
  }

  /** Ascending and disjoint; no two of them touch. */
  get extents(): readonly Extent[] {
    return this.#extents;
  }

  /** @param extent - behind the start of the last one; may touch or overlap it */
  add(extent: Extent): void {
    const last = this.#extents.at(-1);
    if (last === undefined || extent.offset > endOf(last)) this.#extents.push(extent);
    else {
      const end = Math.max(endOf(last), endOf(extent));
      this.#extents[this.#extents.length - 1] = { offset: last.offset, length: end - last.offset };
    }
    while (this.#extents.length > this.#limit) {
      this.#gap = Math.max(FIRST_GAP, this.#gap * 2);
      this.#extents = [...coalesce(this.#extents, { gap: this.#gap })];
    }
  }
}
