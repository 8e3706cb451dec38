import {
  type ClusterRange,
  VMSTATE_NAME,
  type VmaDamage,
  type VmaDevice,
  type VmaHeader,
  type VmaWarning,
} from './archive.js';
import { ClusterSet } from './cluster-bitmap.js';
import type { ExtentSlot } from './extent-decode.js';
import { blockCountOf, commonMask, maskWithin } from './mask-bitmap.js';
import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH, VMA_FULL_MASK } from './words.js';

/** Ranges that a message names before it only counts. */
const RANGES_IN_MESSAGE = 8;

/** What an archive holds of a device. */
export interface DeviceFacts {
  readonly device: VmaDevice;
  /** Clusters that the device has; of `vmstate`, up to the last that was seen. */
  readonly clusterCount: number;
  /** Clusters seen whose every block is stored, some are, none is. */
  readonly full: number;
  readonly partial: number;
  readonly zero: number;
  /** Bytes that are stored for the device. */
  readonly storedLength: number;
  /** The device's clusters come in ascending order. */
  readonly ordered: boolean;
}

/** The clusters of `vmstate` bind, not its size. */
export const isVmstate = (device: VmaDevice): boolean => device.name === VMSTATE_NAME;

/** What was seen of one device, and the rules that its clusters follow (each exactly once, inside of the device). */
class DeviceLedger {
  readonly device: VmaDevice;
  readonly #vmstate: boolean;
  readonly #seen = new ClusterSet();
  readonly #clusterCount: number;
  /** Behind the cluster that was accepted last. */
  #next = 0;
  /** Of `vmstate`, what goes on where clusters were lost. */
  #resumed = 0;
  #full = 0;
  #zero = 0;
  #storedLength = 0;
  #ordered = true;

  constructor(device: VmaDevice) {
    this.device = device;
    this.#vmstate = isVmstate(device);
    this.#clusterCount = Math.ceil(device.size / VMA_CLUSTER_LENGTH);
  }

  /** Notes a cluster, or says which rule it breaks; then it counts as not seen. */
  accept(slot: ExtentSlot): VmaDamage | undefined {
    const damage = this.#vmstate ? this.#outOfOrder(slot) : this.#outOfRange(slot);
    if (damage !== undefined) return damage;
    const { clusterIndex, mask } = slot;
    if (!this.#seen.add(clusterIndex)) return this.#damage(slot, 'VB_VMA_DUPLICATE_CLUSTER', 'occurs twice');
    if (clusterIndex < this.#next) this.#ordered = false;
    this.#next = clusterIndex + 1;
    if (mask === VMA_FULL_MASK) this.#full += 1;
    if (mask === 0) this.#zero += 1;
    this.#storedLength += blockCountOf(mask) * VMA_BLOCK_LENGTH;
    return undefined;
  }

  /** What counts of a cluster: the bits of blocks that begin before the end of the device, and the length of those. */
  clip(slot: ExtentSlot): { readonly mask: number; readonly length: number } {
    const mask = commonMask(slot.mask, this.#maskBefore(slot, this.device.size));
    return { mask, length: blockCountOf(mask) * VMA_BLOCK_LENGTH };
  }

  /** Tells of blocks, and of bytes in the last one, that are stored behind the end of the device and are not zero. */
  behindEnd(slot: ExtentSlot, data: Buffer): VmaWarning | undefined {
    const { size } = this.device;
    if (this.#vmstate || (slot.clusterIndex + 1) * VMA_CLUSTER_LENGTH <= size) return undefined;
    const { mask, length } = this.clip(slot);
    const tail = size % VMA_BLOCK_LENGTH;
    const whole = commonMask(mask, this.#maskBefore(slot, size - tail));
    const end = whole === mask ? length : length - VMA_BLOCK_LENGTH + tail;
    if (data.subarray(end).every((byte) => byte === 0)) return undefined;
    const message = `cluster ${slot.clusterIndex} of ${nameOf(this.device)} stores bytes behind its end, at ${size}`;
    return { code: 'BEHIND_END', message, offset: slot.offset };
  }

  #maskBefore({ clusterIndex }: ExtentSlot, end: number): number {
    return this.#vmstate ? VMA_FULL_MASK : maskWithin(clusterIndex, end);
  }

  missing(): Iterable<ClusterRange> {
    return this.#seen.missing(this.#vmstate ? this.#next : this.#clusterCount);
  }

  facts(): DeviceFacts {
    const seen = this.#seen.size;
    return {
      device: this.device,
      clusterCount: this.#vmstate ? this.#next : this.#clusterCount,
      full: this.#full,
      partial: seen - this.#full - this.#zero,
      zero: this.#zero,
      storedLength: this.#storedLength,
      ordered: this.#ordered,
    };
  }

  #outOfOrder(slot: ExtentSlot): VmaDamage | undefined {
    const { clusterIndex } = slot;
    const expected = this.#next;
    const inOrder = clusterIndex === expected || clusterIndex === this.#resumed;
    // What follows is measured from here, or one lost extent would be told for every cluster behind it.
    if (clusterIndex >= expected) this.#resumed = clusterIndex + 1;
    if (inOrder) return undefined;
    return this.#damage(slot, 'VB_VMA_VMSTATE_ORDER', `comes where cluster ${expected} has to`);
  }

  #outOfRange(slot: ExtentSlot): VmaDamage | undefined {
    const { clusterIndex, mask } = slot;
    if (clusterIndex >= this.#clusterCount) {
      return this.#damage(
        slot,
        'VB_VMA_CLUSTER_RANGE',
        `is behind the end of the device, which has ${this.#clusterCount}`,
      );
    }
    // A full mask is what the classic Python writer gives to every last cluster; Proxmox takes it, and clips.
    if (mask === VMA_FULL_MASK || mask === this.clip(slot).mask) return undefined;
    return this.#damage(
      slot,
      'VB_VMA_BLOCK_RANGE',
      `stores blocks behind the end of the device, at ${this.device.size}`,
    );
  }

  #damage({ clusterIndex, offset }: ExtentSlot, code: VmaDamage['code'], what: string): VmaDamage {
    const { device } = this;
    const message = `cluster ${clusterIndex} of ${nameOf(device)} ${what}`;
    return { code, message, offset, device, clusters: { first: clusterIndex, end: clusterIndex + 1 } };
  }
}

export type { DeviceLedger };

/** What was seen of all devices of an archive. */
export class ArchiveLedger {
  readonly #devices: ReadonlyMap<number, DeviceLedger>;

  constructor(header: VmaHeader) {
    this.#devices = new Map(header.devices.map((device) => [device.id, new DeviceLedger(device)]));
  }

  device(id: number): DeviceLedger | undefined {
    return this.#devices.get(id);
  }

  facts(): DeviceFacts[] {
    return [...this.#devices.values()].map((ledger) => ledger.facts());
  }

  /** One damage for each range of clusters that never came; `offset` is where the archive ends. */
  *missing(offset: number): Generator<VmaDamage, void, undefined> {
    for (const ledger of this.#devices.values()) {
      const { device } = ledger;
      for (const clusters of ledger.missing()) {
        const message = `${nameOf(device)} lacks ${rangeText(clusters)}`;
        yield { code: 'VB_VMA_MISSING_CLUSTER', message, offset, device, clusters };
      }
    }
  }

  /** The first device that lacks clusters, with all that it lacks. */
  firstMissing(offset: number): VmaDamage | undefined {
    for (const ledger of this.#devices.values()) {
      const { device } = ledger;
      const text = missingText(ledger.missing());
      if (text === undefined) continue;
      return { code: 'VB_VMA_MISSING_CLUSTER', message: `${nameOf(device)} lacks ${text}`, offset, device };
    }
    return undefined;
  }
}

const nameOf = (device: VmaDevice): string => `device ${device.id} (${JSON.stringify(device.name.slice(0, 80))})`;

const rangeText = ({ first, end }: ClusterRange): string =>
  end - first === 1 ? `cluster ${first}` : `clusters ${first} to ${end - 1}`;

function missingText(ranges: Iterable<ClusterRange>): string | undefined {
  const named: string[] = [];
  let count = 0;
  let ranged = 0;
  for (const { first, end } of ranges) {
    count += end - first;
    ranged += 1;
    if (named.length < RANGES_IN_MESSAGE) named.push(end - first === 1 ? `${first}` : `${first}-${end - 1}`);
  }
  if (count === 0) return undefined;
  const more = ranged > named.length ? ` and ${ranged - named.length} more ranges` : '';
  return `${count} cluster${count === 1 ? '' : 's'}: ${named.join(', ')}${more}`;
}
