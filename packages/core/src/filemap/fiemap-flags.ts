import type { AllocationKind } from '../extent/index.js';
import type { ExtentFlags } from './filemap.js';

/** FIEMAP_FLAG_SYNC: what is dirty is written before the answer. */
export const FIEMAP_FLAG_SYNC = 0x1;

/** FIEMAP_EXTENT_*, linux/fiemap.h */
export const FIEMAP_EXTENT = {
  last: 0x1,
  unknown: 0x2,
  delalloc: 0x4,
  encoded: 0x8,
  dataEncrypted: 0x80,
  notAligned: 0x100,
  dataInline: 0x200,
  dataTail: 0x400,
  unwritten: 0x800,
  merged: 0x1000,
  shared: 0x2000,
} as const;

/** What the flags of one extent mean. */
export interface FlagMeaning {
  readonly kind: AllocationKind;
  readonly flags: ExtentFlags | undefined;
  /** Nothing follows in this file. */
  readonly last: boolean;
  /** `fe_physical` is where the bytes lie, one after the other. */
  readonly placed: boolean;
}

// A handful of words occur, and extents of one word share its meaning: they are told apart by identity.
const meanings = new Map<number, FlagMeaning>();
const names = new Map<string, ExtentFlags>();

/** Bounds what an odd file system makes this module remember. */
const MAXIMUM_MEANINGS = 1024;

/** What may stand beside UNWRITTEN without making it unclear. */
const BESIDE_UNWRITTEN = FIEMAP_EXTENT.last | FIEMAP_EXTENT.merged | FIEMAP_EXTENT.shared;

/** Only UNWRITTEN reads as zeros; with any other flag that says something of the content, or is not known, it is data. */
export function meaningOf(word: number): FlagMeaning {
  const known = meanings.get(word);
  if (known !== undefined) return known;
  const meaning = readFlags(word);
  if (meanings.size < MAXIMUM_MEANINGS) meanings.set(word, meaning);
  return meaning;
}

function readFlags(word: number): FlagMeaning {
  const has = (flag: number): boolean => (word & flag) !== 0;
  const flags: ExtentFlags = {
    ...(has(FIEMAP_EXTENT.unwritten) ? { unwritten: true } : {}),
    ...(has(FIEMAP_EXTENT.shared) ? { shared: true } : {}),
    ...(has(FIEMAP_EXTENT.encoded) ? { encoded: true } : {}),
    ...(has(FIEMAP_EXTENT.dataInline) ? { inline: true } : {}),
    ...(has(FIEMAP_EXTENT.delalloc) ? { delalloc: true } : {}),
  };
  const unplaced = FIEMAP_EXTENT.unknown | FIEMAP_EXTENT.delalloc | FIEMAP_EXTENT.encoded | FIEMAP_EXTENT.dataInline;
  return {
    kind: (word & ~BESIDE_UNWRITTEN) === FIEMAP_EXTENT.unwritten ? 'zero' : 'data',
    flags: Object.keys(flags).length === 0 ? undefined : shared(flags),
    last: has(FIEMAP_EXTENT.last),
    placed: !has(unplaced),
  };
}

/** Words that differ in flags without a name here, such as LAST, have one and the same object of names. */
function shared(flags: ExtentFlags): ExtentFlags {
  const key = Object.keys(flags).join();
  const known = names.get(key);
  if (known !== undefined) return known;
  names.set(key, flags);
  return flags;
}
