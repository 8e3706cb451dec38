/** Bytes of somebody's memory, to look at until this is disposed; they stay as they are meanwhile. */
export interface Loan extends Disposable {
  /** One behind the other. */
  readonly parts: readonly Buffer[];
}

/** Several loans as one, in their order. */
export const joinLoans = (loans: readonly Loan[]): Loan => ({
  parts: loans.flatMap(({ parts }) => parts),
  [Symbol.dispose]: () => {
    for (const loan of loans) loan[Symbol.dispose]();
  },
});
