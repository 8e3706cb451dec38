import { abortError, VBackupError } from '../errors/index.js';
import type { VmaClusterEvent, VmaDamage, VmaDevice, VmaEvent, VmaHeader, VmaWarning } from './archive.js';
import { type ClusterIndex, ClusterLog } from './cluster-index.js';
import type { ArchiveCompression } from './compression.js';
import { type ContentCheck, ContentOrder, DeviceDigest } from './content-order.js';
import { DamageList } from './damage.js';
import { VmaImageReader } from './image-reader.js';
import type { DeviceFacts } from './ledger.js';
import type { PositionSource } from './position-file.js';
import { VMA_CLUSTER_LENGTH } from './words.js';

/** Read at once when the content of a device is looked at. */
const CONTENT_LENGTH = 1024 * 1024;

export interface VerifyProgress {
  /** Bytes of the archive, decompressed. */
  readonly position: number;
}

export interface VerifyArchiveOptions {
  /** `headers`: of an uncompressed file, the stored blocks are not read. `all`: every byte is. */
  readonly mode: 'headers' | 'all';
  /** The SHA-256 of every device whose content can be had in order. */
  readonly hash?: boolean | undefined;
  /** What else wants the content of devices, e.g. a sidecar with digests. */
  readonly checks?: ((header: VmaHeader) => readonly ContentCheck[]) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  /** Bytes of a device that were read; never where only headers are. */
  readonly onContent?: ((device: VmaDevice, done: number) => void) | undefined;
}

/** What an archive holds of a device, and what could be checked. */
export interface DeviceReport extends DeviceFacts {
  /** Clusters that are nowhere in the archive. */
  readonly missing: number;
  /** In hexadecimal; only with `hash`. */
  readonly sha256: string | undefined;
  /** Why the content was not looked at although it was to be: it lacks clusters, or came from a pipe out of order. */
  readonly unchecked: 'incomplete' | 'not-ordered' | undefined;
}

export interface VmaReport {
  readonly header: VmaHeader;
  readonly compression: ArchiveCompression;
  readonly extents: number;
  /** The most clusters of one extent: 58 in Proxmox's archives, 59 in those of others. */
  readonly clustersPerExtent: number;
  readonly warnings: readonly VmaWarning[];
  /** The first of them. */
  readonly damages: readonly VmaDamage[];
  readonly damageCount: number;
  readonly devices: readonly DeviceReport[];
}

const missingOf = ({ clusterCount, full, partial, zero }: DeviceFacts): number => clusterCount - full - partial - zero;

/** What a verification knows so far, from the events of an archive. */
export class Verification {
  readonly #options: VerifyArchiveOptions;
  /** Content is read afterwards, by what is noted here; else it is taken as it comes. */
  readonly #logs: Map<number, ClusterLog> | undefined;
  readonly #orders = new Map<number, ContentOrder>();
  /** Clusters that came, by device; only of content that is taken as it comes. */
  readonly #counts = new Map<number, number>();
  readonly #digests = new Map<number, DeviceDigest>();
  readonly #warnings: VmaWarning[] = [];
  readonly #damages = new DamageList();
  #checks: readonly ContentCheck[] = [];
  #header: VmaHeader | undefined;
  #extents = 0;
  #clustersPerExtent = 0;

  constructor(options: VerifyArchiveOptions, later = false) {
    this.#options = options;
    this.#logs = later ? new Map<number, ClusterLog>() : undefined;
  }

  add(event: VmaEvent): void {
    switch (event.type) {
      case 'header':
        return this.#begin(event.header);
      case 'extent':
        this.#extents += 1;
        this.#clustersPerExtent = Math.max(this.#clustersPerExtent, event.clusters);
        return this.#options.onProgress?.({ position: event.fileOffset });
      case 'cluster':
        return this.#addCluster(event);
      case 'warning':
        this.#warnings.push(event.warning);
        return;
      case 'damage':
        return this.#damages.add(event.damage);
    }
  }

  /** Looks at the content of every device that is complete, in its order. */
  async readContent(file: PositionSource, facts: readonly DeviceFacts[]): Promise<void> {
    for (const fact of facts) {
      const index = this.#logs?.get(fact.device.id)?.build();
      if (index === undefined || missingOf(fact) > 0) continue;
      await this.#readDevice(file, { device: fact.device, index });
    }
  }

  report({
    compression,
    facts,
  }: {
    readonly compression: ArchiveCompression;
    readonly facts: readonly DeviceFacts[];
  }): VmaReport {
    const header = this.#header;
    if (header === undefined) throw new VBackupError('VB_INTERNAL', 'archive ended without a header or an error');
    const devices = facts.map((fact) => this.#deviceReport(fact));
    return {
      header,
      compression,
      extents: this.#extents,
      clustersPerExtent: this.#clustersPerExtent,
      warnings: this.#warnings,
      damages: this.#damages.kept,
      damageCount: this.#damages.count,
      devices,
    };
  }

  #begin(header: VmaHeader): void {
    this.#header = header;
    const digests = this.#options.hash === true ? header.devices.map((device) => new DeviceDigest(device)) : [];
    for (const digest of digests) this.#digests.set(digest.device.id, digest);
    this.#checks = [...digests, ...(this.#options.checks?.(header) ?? [])];
    for (const { id } of header.devices) {
      this.#logs?.set(id, new ClusterLog());
      this.#orders.set(id, new ContentOrder(this.#checksOf(id)));
    }
  }

  #addCluster(event: VmaClusterEvent): void {
    const { device } = event;
    if (this.#logs !== undefined) {
      this.#logs.get(device.id)?.add(event);
      return;
    }
    this.#orders.get(device.id)?.add(event);
    const count = (this.#counts.get(device.id) ?? 0) + 1;
    this.#counts.set(device.id, count);
    this.#options.onContent?.(device, Math.min(device.size, count * VMA_CLUSTER_LENGTH));
  }

  #checksOf(id: number): readonly ContentCheck[] {
    return this.#checks.filter(({ device }) => device.id === id);
  }

  async #readDevice(
    file: PositionSource,
    { device, index }: { readonly device: VmaDevice; readonly index: ClusterIndex },
  ): Promise<void> {
    const { signal, onProgress, onContent } = this.#options;
    const image = new VmaImageReader(device, index, (position, buffers) => file.readAll(position, buffers));
    const checks = this.#checksOf(device.id);
    const buffer = Buffer.allocUnsafe(Math.min(CONTENT_LENGTH, image.size));
    for (let offset = 0; offset < image.size; offset += buffer.length) {
      if (signal?.aborted === true) throw abortError(signal);
      const bytes = buffer.subarray(0, Math.min(buffer.length, image.size - offset));
      await image.read(offset, bytes, { signal });
      for (const check of checks) check.update(bytes);
      onProgress?.({ position: offset });
      onContent?.(device, offset + bytes.length);
    }
  }

  #deviceReport(fact: DeviceFacts): DeviceReport {
    const { id } = fact.device;
    const missing = missingOf(fact);
    const checks = this.#checksOf(id);
    let unchecked: DeviceReport['unchecked'];
    if (checks.length > 0 && missing > 0) unchecked = 'incomplete';
    else if (checks.length > 0 && this.#logs === undefined && this.#orders.get(id)?.ordered === false) {
      unchecked = 'not-ordered';
    } else for (const check of checks) this.#damages.addAll(check.finish());
    return { ...fact, missing, sha256: this.#digests.get(id)?.digest, unchecked };
  }
}
