/** One bit of a word of flags: what it is worth, and whether it is set. */
export type Flag = readonly [value: number, set: boolean | undefined];

/** The word that has these bits, each given once. */
export const flagWord = (...flags: readonly Flag[]): number =>
  flags.reduce((sum, [value, set]) => (set === true ? sum + value : sum), 0);
