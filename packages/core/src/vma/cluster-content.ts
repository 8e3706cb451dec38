import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH, VMA_FULL_MASK } from './words.js';

/** What of a cluster is stored. */
export interface ClusterContent {
  /** Bit i: the 4 KiB block i. */
  readonly mask: number;
  /** Bits in the mask. */
  readonly blockCount: number;
  /** The stored blocks: views, ascending, neighbours together. */
  readonly pieces: readonly Buffer[];
}

const ZERO_BLOCK = Buffer.alloc(VMA_BLOCK_LENGTH);
const ZERO_CLUSTER = Buffer.alloc(VMA_CLUSTER_LENGTH);

/** A cluster of which nothing is stored. */
export const zeroContent: ClusterContent = { mask: 0, blockCount: 0, pieces: [] };

/**
 * Leaves out the blocks that are zero, and those that `bytes` does not reach to.
 * @param bytes - whole blocks, at most a cluster
 */
export function sparseContent(bytes: Buffer): ClusterContent {
  const pieces: Buffer[] = [];
  let mask = 0;
  let blockCount = 0;
  let runFrom = -1;
  for (let at = 0, bit = 1; at < bytes.length; at += VMA_BLOCK_LENGTH, bit *= 2) {
    if (isZeroBlock(bytes, at)) {
      if (runFrom >= 0) pieces.push(bytes.subarray(runFrom, at));
      runFrom = -1;
    } else {
      mask += bit;
      blockCount += 1;
      if (runFrom < 0) runFrom = at;
    }
  }
  if (runFrom >= 0) pieces.push(bytes.subarray(runFrom));
  return { mask, blockCount, pieces };
}

/**
 * Stores every block, zero or not: the original drops zero blocks of `vmstate` when it extracts them.
 * @param bytes - a whole cluster; default zeros
 */
export const denseContent = (bytes: Buffer = ZERO_CLUSTER): ClusterContent => ({
  mask: VMA_FULL_MASK,
  blockCount: VMA_CLUSTER_LENGTH / VMA_BLOCK_LENGTH,
  pieces: [bytes],
});

// The first byte of most blocks tells.
const isZeroBlock = (bytes: Buffer, at: number): boolean =>
  bytes[at] === 0 && ZERO_BLOCK.compare(bytes, at, at + VMA_BLOCK_LENGTH) === 0;
