import { createHash } from 'node:crypto';
import type { VmaClusterEvent, VmaDevice } from './archive.js';
import { DamageList } from './damage.js';
import { isVmstate } from './ledger.js';
import { blockRuns } from './mask-bitmap.js';
import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH } from './words.js';

const ZEROS = Buffer.alloc(VMA_CLUSTER_LENGTH);

/** Something that wants the content of one device, from its first byte to its last. */
export interface ContentCheck {
  readonly device: VmaDevice;
  /** The bytes are valid during the call only. */
  update(bytes: Buffer): void;
  /** All came. @returns where the content is not what it should be */
  finish(): DamageList;
}

/** The SHA-256 of a device. */
export class DeviceDigest implements ContentCheck {
  readonly device: VmaDevice;
  readonly #hash = createHash('sha256');
  #digest: string | undefined;

  constructor(device: VmaDevice) {
    this.device = device;
  }

  /** In hexadecimal; undefined until all came. */
  get digest(): string | undefined {
    return this.#digest;
  }

  update(bytes: Buffer): void {
    this.#hash.update(bytes);
  }

  finish(): DamageList {
    this.#digest = this.#hash.digest('hex');
    return new DamageList();
  }
}

/** Gives the clusters of one device to checks, as long as they come in order: a stream cannot go back. */
export class ContentOrder {
  readonly #checks: readonly ContentCheck[];
  #next = 0;
  #ordered = true;

  constructor(checks: readonly ContentCheck[]) {
    this.#checks = checks;
  }

  /** False from the first cluster on that did not come in its turn. */
  get ordered(): boolean {
    return this.#ordered;
  }

  add({ device, clusterIndex, mask, data }: VmaClusterEvent): void {
    if (clusterIndex !== this.#next) this.#ordered = false;
    this.#next = clusterIndex + 1;
    if (!this.#ordered || this.#checks.length === 0) return;
    const left = device.size - clusterIndex * VMA_CLUSTER_LENGTH;
    const end = isVmstate(device) ? VMA_CLUSTER_LENGTH : Math.min(VMA_CLUSTER_LENGTH, left);
    let from = 0;
    for (const { block, count, stored } of blockRuns(mask)) {
      const length = Math.min(count * VMA_BLOCK_LENGTH, end - block * VMA_BLOCK_LENGTH);
      if (length <= 0) return;
      const bytes = stored ? data.subarray(from, from + length) : ZEROS.subarray(0, length);
      if (stored) from += count * VMA_BLOCK_LENGTH;
      for (const check of this.#checks) check.update(bytes);
    }
  }
}
