import type { WithSignal } from '../hypervisor/index.js';

export interface AtOnceOptions extends WithSignal {
  /** How many are worked on at once, at most. At least 1. */
  readonly count: number;
}

/**
 * Works on several items at once, begun in their order. The first failure stops the others, and is told when all have ended; none is
 * begun after it.
 * @returns the results, in the order of the items
 */
export async function atOnce<Item, Result>(
  items: readonly Item[],
  { count, signal }: AtOnceOptions,
  work: (item: Item, options: { readonly signal: AbortSignal }) => Promise<Result>,
): Promise<readonly Result[]> {
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const results = new Map<number, Result>();
  let failure: { readonly error: unknown } | undefined;
  const waiting = items.entries();
  const lane = async (): Promise<void> => {
    for (const [index, item] of waiting) {
      if (failure !== undefined) return;
      try {
        results.set(index, await work(item, { signal: either }));
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, items.length) }, lane));
  if (failure !== undefined) throw failure.error;
  return [...results].toSorted(([left], [right]) => left - right).map(([, result]) => result);
}
