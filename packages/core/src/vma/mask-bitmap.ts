import { VMA_BLOCK_LENGTH, VMA_BLOCKS_PER_CLUSTER, VMA_CLUSTER_LENGTH, VMA_FULL_MASK } from './words.js';

/** Blocks that a mask has: the number of its bits. */
export function blockCountOf(mask: number): number {
  let bits = mask - ((mask >>> 1) & 0x5555);
  bits = (bits & 0x3333) + ((bits >>> 2) & 0x3333);
  bits = (bits + (bits >>> 4)) & 0x0f0f;
  return (bits + (bits >>> 8)) & 0x1f;
}

/** The bits of the blocks of a cluster that begin before the end of the device. */
export function maskWithin(clusterIndex: number, size: number): number {
  const blocks = Math.ceil((size - clusterIndex * VMA_CLUSTER_LENGTH) / VMA_BLOCK_LENGTH);
  if (blocks >= VMA_BLOCKS_PER_CLUSTER) return VMA_FULL_MASK;
  return blocks <= 0 ? 0 : (1 << blocks) - 1;
}

/** The bits that both have. */
export const commonMask = (left: number, right: number): number => left & right;

/** Blocks that lie together in a cluster: all stored, or none of them. */
export interface BlockRun {
  readonly block: number;
  readonly count: number;
  readonly stored: boolean;
}

/** A cluster as runs of stored and of zero blocks, ascending; together all 16 blocks. */
export function* blockRuns(mask: number): Generator<BlockRun, void, undefined> {
  let block = 0;
  while (block < VMA_BLOCKS_PER_CLUSTER) {
    const bit = (mask >>> block) & 1;
    let end = block + 1;
    while (end < VMA_BLOCKS_PER_CLUSTER && ((mask >>> end) & 1) === bit) end += 1;
    yield { block, count: end - block, stored: bit === 1 };
    block = end;
  }
}
