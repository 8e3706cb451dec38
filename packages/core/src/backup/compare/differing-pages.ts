import { type Extent, splitAt } from '../../extent/index.js';
import { PAGE_LENGTH } from '../copy/geometry.js';

const ZERO_PAGE = Buffer.alloc(PAGE_LENGTH);

/** What a disk held in a range and what it holds now; null stands for zeros. */
export interface Sides {
  readonly now: Buffer | null;
  readonly before: Buffer | null;
}

/** The parts of `range` that differ, cut at every page of the disk. Each side that is not null has the range's length. */
export function* differingPages(range: Extent, { now, before }: Sides): Generator<Extent> {
  // Holes of a large disk are many GiB long.
  if (now === null && before === null) return;
  for (const page of splitAt([range], PAGE_LENGTH)) {
    const at = page.offset - range.offset;
    const partOf = (side: Buffer | null): Buffer =>
      side === null ? ZERO_PAGE.subarray(0, page.length) : side.subarray(at, at + page.length);
    if (!partOf(now).equals(partOf(before))) yield page;
  }
}
