import type { Extent } from '../extent/index.js';

/** More holes between the parts of one reply than this are refused: 2 MiB in blocks of 512 bytes, every other one. */
const MAX_PARTS = 4096;

/** Which bytes of one request were answered. Servers send chunks in order, so there is mostly one part. */
export class Coverage {
  /** Ascending and disjoint; neighbours are joined. */
  readonly #parts: { start: number; end: number }[] = [];

  /** False if a byte of `extent` was there before, or if there are too many parts to keep. */
  add(extent: Extent): boolean {
    const start = extent.offset;
    const end = start + extent.length;
    const at = this.#placeOf(start);
    const before = this.#parts[at - 1];
    const after = this.#parts[at];
    if ((before !== undefined && before.end > start) || (after !== undefined && after.start < end)) return false;
    const joinsBefore = before?.end === start;
    const joinsAfter = after?.start === end;
    if (before !== undefined && joinsBefore) {
      before.end = joinsAfter && after !== undefined ? after.end : end;
      if (joinsAfter) this.#parts.splice(at, 1);
    } else if (after !== undefined && joinsAfter) {
      after.start = start;
    } else {
      this.#parts.splice(at, 0, { start, end });
    }
    return this.#parts.length <= MAX_PARTS;
  }

  /** Whether exactly `extent` was answered, without a gap. */
  covers(extent: Extent): boolean {
    const [part, ...rest] = this.#parts;
    return rest.length === 0 && part?.start === extent.offset && part.end === extent.offset + extent.length;
  }

  /** Index of the first part that starts at or behind `start`. */
  #placeOf(start: number): number {
    let low = 0;
    let high = this.#parts.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#parts[middle]?.start ?? 0) < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
