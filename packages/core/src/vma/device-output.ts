import { UnsupportedError } from '../errors/index.js';
import type { BlockWriter, WithSignal } from '../hypervisor/index.js';
import { copyInto } from '../memory/shared-bytes.js';
import type { Slot, SlotPool } from '../memory/slot-pool.js';
import type { VmaClusterEvent, VmaDevice } from './archive.js';
import { blockRuns } from './mask-bitmap.js';
import { isZero } from './piece-digests.js';
import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH } from './words.js';

/** Zeros between two stored blocks of a cluster that are no longer than this are written: a hole would cost more. */
export const SHORT_GAP = 3 * VMA_BLOCK_LENGTH;
const ZEROS = Buffer.alloc(VMA_CLUSTER_LENGTH);

export interface DeviceOutputOptions extends WithSignal {
  readonly device: VmaDevice;
  /** Bytes of the device; undefined where only its last cluster tells, as of `vmstate` in a stream. */
  readonly size: number | undefined;
  /** Has two for each device that shares it; each takes at least a cluster, and lies on pages, as direct writes need it. */
  readonly buffers: SlotPool;
}

interface Pending {
  readonly kind: 'data' | 'zero';
  readonly offset: number;
  length: number;
}

/** Writes the clusters of one device to its target: neighbours together, one write under way while the next is filled. */
export class DeviceOutput {
  readonly target: BlockWriter;
  readonly #options: DeviceOutputOptions;
  readonly #bufferLength: number;
  #filling: Slot | undefined;
  #pending: Pending | undefined;
  #writing: Promise<void> = Promise.resolve();
  #end = 0;
  #written = 0;

  constructor(target: BlockWriter, options: DeviceOutputOptions) {
    this.target = target;
    this.#options = options;
    this.#bufferLength = Math.min(options.buffers.slotLength, target.limits.maximumRequest);
  }

  get device(): VmaDevice {
    return this.#options.device;
  }

  /** Bytes of data, without zeros. */
  get written(): number {
    return this.#written;
  }

  /** Where the last byte that came ends. */
  get end(): number {
    return this.#end;
  }

  /** A cluster as it stands in a stream. */
  async cluster({ clusterIndex, mask, data }: VmaClusterEvent): Promise<void> {
    const start = clusterIndex * VMA_CLUSTER_LENGTH;
    const end = Math.min(this.#options.size ?? Number.MAX_SAFE_INTEGER, start + VMA_CLUSTER_LENGTH);
    let from = 0;
    for (const { block, count, stored } of blockRuns(mask)) {
      const offset = start + block * VMA_BLOCK_LENGTH;
      const length = Math.min(count * VMA_BLOCK_LENGTH, end - offset);
      if (length <= 0) return;
      if (stored) {
        await this.data(offset, data.subarray(from, from + length));
        from += count * VMA_BLOCK_LENGTH;
      } else if (block > 0 && offset + length < end && length <= SHORT_GAP) {
        await this.filled(offset, ZEROS.subarray(0, length));
      } else {
        await this.zeros(offset, length);
      }
    }
  }

  /** At most a cluster; zeros among it that the archive stores all the same become a hole. */
  async data(offset: number, bytes: Buffer): Promise<void> {
    if (this.target.zeroed && this.#options.size !== undefined && isZero(bytes))
      return this.zeros(offset, bytes.length);
    await this.filled(offset, bytes);
  }

  /** As {@link data}, and zeros are written. */
  async filled(offset: number, bytes: Buffer): Promise<void> {
    const open = this.#pending;
    const joins = open?.kind === 'data' && open.offset + open.length === offset;
    if (!joins || open.length + bytes.length > this.#bufferLength) await this.flush();
    this.#pending ??= { kind: 'data', offset, length: 0 };
    this.#filling ??= await this.#options.buffers.acquire();
    copyInto(this.#filling.buffer, this.#pending.length, bytes);
    this.#pending.length += bytes.length;
    this.#note(offset, bytes.length);
  }

  async zeros(offset: number, length: number): Promise<void> {
    if (this.#options.size === undefined) {
      // Nothing has said how long the target is: what is written makes it longer.
      for (let at = 0; at < length; at += ZEROS.length) {
        await this.filled(offset + at, ZEROS.subarray(0, Math.min(ZEROS.length, length - at)));
      }
      return;
    }
    if (this.target.zeroed) return this.#note(offset, length);
    if (this.#pending?.kind !== 'zero' || this.#pending.offset + this.#pending.length !== offset) {
      await this.flush();
      this.#pending = { kind: 'zero', offset, length: 0 };
    }
    this.#pending.length += length;
    this.#note(offset, length);
  }

  /** Starts the write of what was collected. @throws what the write before it failed with */
  async flush(): Promise<void> {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.#pending = undefined;
    await this.#writing;
    const { signal } = this.#options;
    const slot = this.#filling;
    if (pending.kind === 'zero' || slot === undefined) {
      this.#writing = this.target.zero(pending.offset, pending.length, { signal });
    } else {
      this.#filling = undefined;
      const bytes = slot.buffer.subarray(0, pending.length);
      this.#writing = this.target.write(pending.offset, bytes, { signal }).finally(() => slot.release());
      this.#written += pending.length;
    }
    // It is looked at when the next one starts, and at the end.
    this.#writing.catch(() => undefined);
  }

  /** Everything that came is written. */
  async settle(): Promise<void> {
    await this.flush();
    await this.#writing;
  }

  /** No write is under way any more, however it ended. */
  async quiet(): Promise<void> {
    await this.#writing.catch(() => undefined);
    this.#filling?.release();
  }

  #note(offset: number, length: number): void {
    const { anyOrder, zeroed } = this.target;
    // Of what does not read as zero by itself every byte must come, in its turn.
    if (anyOrder !== true && (zeroed ? offset < this.#end : offset !== this.#end)) {
      throw new UnsupportedError(
        'VB_UNSUPPORTED',
        `the clusters of ${this.device.name} do not come one after the other, and the target takes no others`,
        { cure: 'decompress the archive into a file first, or extract to a file, a device or an NBD server' },
      );
    }
    this.#end = Math.max(this.#end, offset + length);
  }
}
