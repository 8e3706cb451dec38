/** A range of bytes. `offset >= 0`, `length > 0`: an empty extent does not exist. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/**
 * What a range holds: `data` must be read; `zero` reads as zeros and is allocated; `hole` reads as zeros and is not
 * allocated. Unknown is `data`.
 */
export type AllocationKind = 'data' | 'zero' | 'hole';

export interface AllocationExtent extends Extent {
  readonly kind: AllocationKind;
}
