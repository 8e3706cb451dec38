export interface LentBlocksShape {
  /** Of all there is, in bytes. */
  readonly length: number;
  /** Of one block. */
  readonly block: number;
}

/**
 * Counts what is lent of each block of a range, and lends of no more than half of them: who takes a loan back slowly leaves
 * the others whole blocks, however short and scattered the loans are.
 */
export class LentBlocks {
  readonly #block: number;
  readonly #most: number;
  /** Loans by the number of their block. */
  readonly #lent = new Map<number, number>();

  constructor({ length, block }: LentBlocksShape) {
    this.#block = block;
    this.#most = Math.floor(length / block / 2);
  }

  /** Whether what lies at `offset` may be lent; then it is, until {@link give}. */
  take(offset: number): boolean {
    const number = Math.floor(offset / this.#block);
    const loans = this.#lent.get(number) ?? 0;
    if (loans === 0 && this.#lent.size >= this.#most) return false;
    this.#lent.set(number, loans + 1);
    return true;
  }

  give(offset: number): void {
    const number = Math.floor(offset / this.#block);
    const loans = this.#lent.get(number) ?? 0;
    if (loans > 1) this.#lent.set(number, loans - 1);
    else this.#lent.delete(number);
  }
}
