import type { WithSignal } from '../hypervisor/index.js';
import { type Slot, SlotPool } from '../memory/slot-pool.js';

/** Reads in flight beside the piece that is worked on; more would leave the processor's cache. */
const READ_AHEAD = 2;

export interface ReadAhead<Piece> extends WithSignal {
  readonly pieces: AsyncIterable<Piece>;
  /** The longest piece, in bytes. */
  readonly slotLength: number;
  /** Fills the slot; what it returns is handed to `use`. */
  readonly read: (piece: Piece, slot: Buffer) => Promise<Buffer>;
  /** Called in the order of the pieces, one at a time, while the next ones are read. */
  readonly use: (piece: Piece, bytes: Buffer) => Promise<void>;
}

interface Pending<Piece> {
  readonly piece: Piece;
  readonly slot: Slot;
  readonly bytes: Promise<Buffer>;
}

/** Reads pieces into pooled memory ahead of their use. When it ends, however it does, no read is in flight any more. */
export async function readAhead<Piece>(options: ReadAhead<Piece>): Promise<void> {
  using slots = new SlotPool({ count: READ_AHEAD + 1, length: options.slotLength });
  const pending: Pending<Piece>[] = [];
  const useFirst = async (): Promise<void> => {
    const first = pending[0];
    if (first === undefined) return;
    await options.use(first.piece, await first.bytes);
    pending.shift();
    first.slot.release();
  };
  try {
    for await (const piece of options.pieces) {
      options.signal?.throwIfAborted();
      if (pending.length > READ_AHEAD) await useFirst();
      const slot = await slots.acquire();
      const bytes = options.read(piece, slot.buffer);
      // Whoever awaits it hears of the failure; until then it is not unhandled.
      bytes.catch(() => undefined);
      pending.push({ piece, slot, bytes });
    }
    while (pending.length > 0) {
      options.signal?.throwIfAborted();
      await useFirst();
    }
  } finally {
    await Promise.allSettled(pending.map(({ bytes }) => bytes));
    for (const { slot } of pending) slot.release();
  }
}
