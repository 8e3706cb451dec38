/** Whether a word has a flag set. Both are 32-bit words of the protocol. */
export const hasFlag = (word: number, flag: number): boolean => (word & flag) !== 0;

/** The flags of `word` that are not among `known`. */
export const unknownFlags = (word: number, known: number): number => (word & ~known) >>> 0;

/** The word that has all of `flags` set. */
export const joinFlags = (...flags: readonly number[]): number => flags.reduce((word, flag) => word | flag, 0);
