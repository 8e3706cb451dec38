import type { ByteQueue } from '../bytes/index.js';
import type { ExtentHeader, ExtentSlot } from './extent-decode.js';
import { blockCountOf } from './mask-bitmap.js';
import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH } from './words.js';

const NO_BYTES = Buffer.alloc(0);

/** A slot with its stored blocks. */
export interface StoredCluster {
  readonly slot: ExtentSlot;
  /** Empty if only headers are read. */
  readonly data: Buffer;
  readonly fileOffset: number;
}

/** The blocks of one extent, given to its slots in their order as they arrive; or passed over, if only headers are read. */
export class ExtentBlocks {
  readonly #slots: readonly ExtentSlot[];
  readonly #end: number;
  /** Where the blocks are gathered that do not lie together; undefined if none are wanted. */
  readonly #scratch: Buffer | undefined;
  #next = 0;
  #fileOffset: number;
  #passed = 0;

  /** @param scratch - a cluster long; without it blocks are passed over */
  constructor(header: ExtentHeader, fileOffset: number, scratch: Buffer | undefined) {
    this.#slots = header.slots;
    this.#fileOffset = fileOffset;
    this.#end = fileOffset + header.blockCount * VMA_BLOCK_LENGTH;
    this.#scratch = scratch;
  }

  /** Bytes that were neither taken nor passed over. */
  get left(): number {
    return this.#end - this.#fileOffset - this.#passed;
  }

  /** The slot that waits for its blocks; undefined when all have theirs. */
  get current(): ExtentSlot | undefined {
    return this.#slots[this.#next];
  }

  /** Notes that bytes were passed over. */
  pass(length: number): void {
    this.#passed += length;
  }

  /** The next slot whose blocks are all there. */
  take(queue: ByteQueue): StoredCluster | undefined {
    const slot = this.current;
    if (slot === undefined) return undefined;
    const length = blockCountOf(slot.mask) * VMA_BLOCK_LENGTH;
    const data = this.#blocks(queue, length);
    if (data === undefined) return undefined;
    const fileOffset = this.#fileOffset;
    this.#next += 1;
    this.#fileOffset += length;
    return { slot, data, fileOffset };
  }

  #blocks(queue: ByteQueue, length: number): Buffer | undefined {
    // Most clusters of a sparse disk: nothing is made for them.
    if (length === 0) return NO_BYTES;
    return this.#scratch === undefined ? this.#passOver(queue, length) : queue.take(length, this.#scratch);
  }

  #passOver(queue: ByteQueue, length: number): Buffer | undefined {
    for (let some = queue.takeSome(this.left); some !== undefined; some = queue.takeSome(this.left)) {
      this.#passed += some.length;
    }
    if (this.#passed < length) return undefined;
    this.#passed -= length;
    return NO_BYTES;
  }
}

/** A cluster is the most that one slot has. */
export const clusterScratch = (): Buffer => Buffer.allocUnsafeSlow(VMA_CLUSTER_LENGTH);
