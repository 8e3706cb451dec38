import { type Extent, endOf } from '../../extent/index.js';

/** A range, and what each of two covers says of it. */
export interface Overlap<Left, Right> extends Extent {
  readonly left: Left;
  readonly right: Right;
}

/**
 * Walks two complete covers of the same range at once: each piece lies in one extent of either. Ends where the shorter
 * one does.
 */
export async function* overlaps<Left extends Extent, Right extends Extent>(
  lefts: AsyncIterable<Left>,
  rights: AsyncIterable<Right>,
): AsyncGenerator<Overlap<Left, Right>> {
  const others = rights[Symbol.asyncIterator]();
  try {
    let other = await others.next();
    for await (const left of lefts) {
      while (other.done !== true && other.value.offset < endOf(left)) {
        const right = other.value;
        const offset = Math.max(left.offset, right.offset);
        const length = Math.min(endOf(left), endOf(right)) - offset;
        if (length > 0) yield { offset, length, left, right };
        if (endOf(right) > endOf(left)) break;
        other = await others.next();
      }
      if (other.done === true) return;
    }
  } finally {
    await others.return?.();
  }
}
