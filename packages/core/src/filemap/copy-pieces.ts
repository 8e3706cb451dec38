import type { AllocationExtent } from '../extent/index.js';

/** A hole that is not longer is read with the data around it: one call less for a few bytes more. */
const LONGEST_GAP = 32 * 1024;
/** So many extents share a piece. */
const ITEM_LIMIT = 256;

/** A part of the source that is handled at once; pieces are ascending and leave nothing out. */
export interface CopyPiece {
  readonly offset: number;
  /** From `offset` on, through the last data; 0 where all is a hole. */
  readonly readLength: number;
  /** A complete cover of the piece. */
  readonly items: readonly AllocationExtent[];
}

/** Cuts and joins extents (ascending, without gaps) into pieces of which at most `slotLength` bytes are read. */
export async function* copyPieces(
  extents: AsyncIterable<AllocationExtent>,
  slotLength: number,
): AsyncGenerator<CopyPiece> {
  let builder: PieceBuilder | undefined;
  for await (const extent of extents) {
    if (extent.kind === 'data') {
      let rest = extent;
      while (rest.length > 0) {
        if (builder?.isFull === true) {
          yield builder.build();
          builder = undefined;
        }
        builder ??= new PieceBuilder(rest.offset, slotLength);
        rest = builder.add(rest);
      }
      continue;
    }
    if (builder !== undefined && extent.length <= Math.min(LONGEST_GAP, builder.room)) {
      builder.add(extent);
      continue;
    }
    // With the data before it: a piece of nothing but a hole would take the turn of a read.
    builder ??= new PieceBuilder(extent.offset, slotLength);
    yield builder.buildWith(extent);
    builder = undefined;
  }
  if (builder !== undefined) yield builder.build();
}

class PieceBuilder {
  readonly #offset: number;
  readonly #slotLength: number;
  readonly #items: AllocationExtent[] = [];
  #length = 0;
  #readLength = 0;

  constructor(offset: number, slotLength: number) {
    this.#offset = offset;
    this.#slotLength = slotLength;
  }

  get room(): number {
    return this.#slotLength - this.#length;
  }

  get isFull(): boolean {
    return this.room === 0 || this.#items.length >= ITEM_LIMIT;
  }

  /** @returns what finds no room */
  add({ kind, offset, length }: AllocationExtent): AllocationExtent {
    const taken = Math.min(length, this.room);
    this.#items.push({ kind, offset, length: taken });
    this.#length += taken;
    if (kind === 'data') this.#readLength = this.#length;
    return { kind, offset: offset + taken, length: length - taken };
  }

  build(): CopyPiece {
    return { offset: this.#offset, readLength: this.#readLength, items: this.#items };
  }

  /** With a hole of any length behind what is in it. */
  buildWith({ kind, offset, length }: AllocationExtent): CopyPiece {
    this.#items.push({ kind, offset, length });
    return this.build();
  }
}
