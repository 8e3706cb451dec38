/** Changed block tracking marks 64 KiB at a time. */
export const CBT_BLOCK_LENGTH = 0x1_0000;

/**
 * The log of one disk: which blocks were written since the log was made, and its neighbours in the chain. On a host it is
 * the file `<uuid>.cbtlog`. Bits are stored most significant first, as the API shows them.
 */
export class CbtLog {
  /** The older neighbour's uuid. */
  parent: string | undefined;
  /** The newer neighbour's uuid. */
  child: string | undefined;
  #size: number;
  #bits: Uint8Array;

  constructor(size: number, parent?: string) {
    this.#size = size;
    this.parent = parent;
    this.#bits = new Uint8Array(bytesFor(size));
  }

  get size(): number {
    return this.#size;
  }

  /** Marks every block that the range touches. */
  mark(offset: number, length: number): void {
    if (length === 0) return;
    const end = Math.floor((offset + length - 1) / CBT_BLOCK_LENGTH);
    for (let block = Math.floor(offset / CBT_BLOCK_LENGTH); block <= end; block++) {
      const at = Math.floor(block / 8);
      this.#bits[at] = (this.#bits[at] ?? 0) | (0x80 >> (block % 8));
    }
  }

  /** Grows with unmarked blocks; a log never shrinks. */
  grow(size: number): void {
    const bits = new Uint8Array(bytesFor(size));
    bits.set(this.#bits);
    this.#bits = bits;
    this.#size = size;
  }

  /** Adds the marks of another log of the same or a smaller size. */
  merge(other: CbtLog): void {
    for (const [at, byte] of other.#bits.entries()) {
      if (at < this.#bits.length) this.#bits[at] = (this.#bits[at] ?? 0) | byte;
    }
  }

  /** The bitmap as `VDI.list_changed_blocks` returns it before base64. */
  toBuffer(): Buffer {
    return Buffer.from(this.#bits);
  }
}

function bytesFor(size: number): number {
  return Math.ceil(Math.ceil(size / CBT_BLOCK_LENGTH) / 8);
}
