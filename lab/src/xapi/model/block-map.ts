import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

/** The unit that is kept, shared and copied on write. */
export const BLOCK_LENGTH = 0x1_0000;

const ZEROS: Buffer = Buffer.alloc(BLOCK_LENGTH);
/** After so many hashed blocks (16 MiB) the event loop gets its turn. */
const BLOCKS_PER_TURN = 256;

/**
 * The content of one disk: a map from block index to bytes; a block that is not there was never written and reads as
 * zeros. Snapshots share blocks until either side writes.
 */
export class BlockMap {
  readonly #blocks: Map<number, Buffer>;
  /** Blocks that no other map shares. */
  readonly #owned = new Set<number>();
  #size: number;

  constructor(size: number, blocks: ReadonlyMap<number, Buffer> = new Map()) {
    this.#size = size;
    this.#blocks = new Map(blocks);
  }

  get size(): number {
    return this.#size;
  }

  /** Blocks that were ever written. */
  get allocatedBlocks(): number {
    return this.#blocks.size;
  }

  isAllocated(block: number): boolean {
    return this.#blocks.has(block);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#check(offset, bytes.length);
    for (const piece of pieces(offset, bytes.length)) {
      const part = bytes.subarray(piece.from, piece.from + piece.length);
      if (piece.length === BLOCK_LENGTH) this.#replace(piece.block, part);
      else this.#own(piece.block).set(part, piece.within);
    }
  }

  /** Writes zeros. Whole blocks stay allocated, but cost no memory. */
  zero(offset: number, length: number): void {
    this.#check(offset, length);
    for (const piece of pieces(offset, length)) {
      if (piece.length === BLOCK_LENGTH) {
        this.#blocks.set(piece.block, ZEROS);
        this.#owned.delete(piece.block);
      } else this.#own(piece.block).fill(0, piece.within, piece.within + piece.length);
    }
  }

  /** Fills the whole of `target`. */
  read(offset: number, target: Uint8Array): void {
    this.#check(offset, target.length);
    for (const piece of pieces(offset, target.length)) {
      const part = target.subarray(piece.from, piece.from + piece.length);
      const block = this.#blocks.get(piece.block);
      if (block === undefined) part.fill(0);
      else part.set(block.subarray(piece.within, piece.within + piece.length));
    }
  }

  /** A frozen copy that shares every block. */
  snapshot(): BlockMap {
    this.#owned.clear();
    return new BlockMap(this.#size, this.#blocks);
  }

  grow(size: number): void {
    if (size < this.#size) throw new RangeError(`a disk of ${this.#size} bytes does not shrink to ${size}`);
    this.#size = size;
  }

  /** Forgets all content. */
  clear(): void {
    this.#blocks.clear();
    this.#owned.clear();
  }

  /** SHA-256 of all bytes of the disk, in hexadecimal. */
  async digest(): Promise<string> {
    const frozen = this.snapshot();
    const hash = createHash('sha256');
    for (let block = 0, offset = 0; offset < frozen.#size; block++, offset += BLOCK_LENGTH) {
      const bytes = frozen.#blocks.get(block) ?? ZEROS;
      hash.update(bytes.subarray(0, Math.min(BLOCK_LENGTH, frozen.#size - offset)));
      if (block % BLOCKS_PER_TURN === BLOCKS_PER_TURN - 1) await setImmediate();
    }
    return hash.digest('hex');
  }

  #replace(block: number, bytes: Uint8Array): void {
    const present = this.#blocks.get(block);
    if (present !== undefined && this.#owned.has(block)) present.set(bytes);
    else this.#blocks.set(block, Buffer.from(bytes));
    this.#owned.add(block);
  }

  #own(block: number): Buffer {
    const present = this.#blocks.get(block);
    if (present !== undefined && this.#owned.has(block)) return present;
    const copy = present === undefined ? Buffer.alloc(BLOCK_LENGTH) : Buffer.from(present);
    this.#blocks.set(block, copy);
    this.#owned.add(block);
    return copy;
  }

  #check(offset: number, length: number): void {
    if (offset < 0 || offset + length > this.#size) {
      throw new RangeError(`${length} bytes at ${offset} lie outside of a disk of ${this.#size} bytes`);
    }
  }
}

interface Piece {
  readonly block: number;
  /** Offset inside the block. */
  readonly within: number;
  /** Offset inside the range. */
  readonly from: number;
  readonly length: number;
}

function* pieces(offset: number, length: number): Iterable<Piece> {
  for (let from = 0; from < length; ) {
    const within = (offset + from) % BLOCK_LENGTH;
    const piece = Math.min(BLOCK_LENGTH - within, length - from);
    yield { block: Math.floor((offset + from) / BLOCK_LENGTH), within, from, length: piece };
    from += piece;
  }
}
