import type { WithSignal } from '../hypervisor/index.js';

export interface AskAheadOptions<Item, Answer> extends WithSignal {
  /** What is asked about, in the order in which the answers are wanted. */
  readonly items: Iterable<Item>;
  /** Questions on their way at once; so many answers are in memory at most. */
  readonly atOnce: number;
  /** Its signal tells that nobody waits for the answer any more. */
  readonly ask: (item: Item, options: { readonly signal: AbortSignal }) => Promise<Answer>;
}

/**
 * Asks about the next items while the first is waited for, and hands on the answers in the order of the items. Whoever stops early
 * aborts what is on its way, and it is settled when this returns. Of several failures the one that comes first in order is thrown.
 */
export async function* askAhead<Item, Answer>(
  options: AskAheadOptions<Item, Answer>,
): AsyncGenerator<{ readonly item: Item; readonly answer: Answer }> {
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const items = options.items[Symbol.iterator]();
  const asked: { readonly item: Item; readonly answer: Promise<Answer> }[] = [];
  const askMore = (): void => {
    // Several at a time: what is asked in one turn leaves in one write.
    if (asked.length > options.atOnce / 2) return;
    while (asked.length < options.atOnce) {
      const next = items.next();
      if (next.done === true) return;
      const answer = options.ask(next.value, { signal });
      answer.catch(() => undefined);
      asked.push({ item: next.value, answer });
    }
  };
  try {
    for (;;) {
      signal.throwIfAborted();
      askMore();
      const [first] = asked;
      if (first === undefined) return;
      const answer = await first.answer;
      asked.shift();
      yield { item: first.item, answer };
    }
  } finally {
    if (asked.length > 0) stop.abort();
    await Promise.allSettled(asked.map(({ answer }) => answer));
  }
}
