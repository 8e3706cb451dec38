import type { OpenTarget, WithSignal } from '../hypervisor/index.js';
import { SlotPool } from '../memory/slot-pool.js';
import type { VmaDevice } from './archive.js';
import { DeviceOutput } from './device-output.js';
import { VMA_CLUSTER_LENGTH } from './words.js';

/** Of all devices together. */
const MEMORY = 64 * 1024 * 1024;
const BUFFER_LENGTH = 1024 * 1024;

export interface SizedTarget {
  readonly device: VmaDevice;
  readonly openTarget: OpenTarget;
  /** Bytes; undefined where only the last cluster tells. */
  readonly size: number | undefined;
}

/** The targets of an extraction: finished all together, or not at all. */
export class DeviceOutputs implements AsyncDisposable {
  readonly #outputs = new Map<number, DeviceOutput>();
  readonly #clusters = new Map<number, number>();
  readonly #buffers: SlotPool;
  readonly #signal: AbortSignal | undefined;

  private constructor(buffers: SlotPool, signal: AbortSignal | undefined) {
    this.#buffers = buffers;
    this.#signal = signal;
  }

  /** @throws what the targets throw; those that were opened before are left as they were */
  static async open(targets: readonly SizedTarget[], { signal }: WithSignal): Promise<DeviceOutputs> {
    const share = Math.floor(MEMORY / 2 / Math.max(1, targets.length) / VMA_CLUSTER_LENGTH) * VMA_CLUSTER_LENGTH;
    const bufferLength = Math.max(VMA_CLUSTER_LENGTH, Math.min(BUFFER_LENGTH, share));
    const buffers = new SlotPool({ count: 2 * targets.length, length: bufferLength });
    const outputs = new DeviceOutputs(buffers, signal);
    try {
      for (const { device, openTarget, size } of targets) {
        const length = size ?? 0;
        const data = length === 0 ? [] : [{ offset: 0, length }];
        const target = await openTarget({ size: length, data, label: device.name }, { signal });
        outputs.#outputs.set(device.id, new DeviceOutput(target, { device, size, buffers, signal }));
      }
    } catch (error) {
      await outputs[Symbol.asyncDispose]();
      throw error;
    }
    return outputs;
  }

  get all(): readonly DeviceOutput[] {
    return [...this.#outputs.values()];
  }

  of({ id }: VmaDevice): DeviceOutput | undefined {
    return this.#outputs.get(id);
  }

  /** Counts a cluster. @returns the bytes of the device that came, as if none of them were behind its end */
  advance({ id, size }: VmaDevice): number {
    const count = (this.#clusters.get(id) ?? 0) + 1;
    this.#clusters.set(id, count);
    return Math.min(size, count * VMA_CLUSTER_LENGTH);
  }

  async settle(): Promise<void> {
    for (const output of this.all) await output.settle();
  }

  async finish(): Promise<void> {
    await this.settle();
    for (const { target } of this.all) await target.finish({ signal: this.#signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A write that is under way would go on into what is closed.
    await Promise.all(this.all.map((output) => output.quiet()));
    this.#buffers[Symbol.dispose]();
    await Promise.all(this.all.map(({ target }) => target[Symbol.asyncDispose]()));
  }
}
