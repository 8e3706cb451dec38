import type { AllocationKind } from '../extent/index.js';
import { NBD_STATE_HOLE, NBD_STATE_ZERO } from './words.js';

/** Whether every bit of `flag` is set in `flags`. Both are words of at most 32 bits. */
export const hasFlag = (flags: number, flag: number): boolean => (flags & flag) === flag;

/** Joins flags of at most 16 bits into one word. */
export function joinFlags(...flags: readonly number[]): number {
  let joined = 0;
  for (const flag of flags) joined |= flag;
  return joined;
}

/** The flags of a word of at most 32 bits that are not among `known`. */
export const unknownFlags = (flags: number, known: number): number => (flags & ~known) >>> 0;

/**
 * What `base:allocation` says (doc/proto.md, "base:allocation metadata context"). A hole that is not known to read as
 * zeros is data: only NBD_STATE_ZERO promises zeros.
 */
export function allocationKind(flags: number): AllocationKind {
  if (!hasFlag(flags, NBD_STATE_ZERO)) return 'data';
  return hasFlag(flags, NBD_STATE_HOLE) ? 'hole' : 'zero';
}
