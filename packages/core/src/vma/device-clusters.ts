import { VBackupError } from '../errors/index.js';
import type { VmaDevice } from './archive.js';
import { ClusterSet } from './cluster-bitmap.js';
import { type ClusterContent, denseContent, sparseContent, zeroContent } from './cluster-content.js';
import type { ExtentOutput } from './extent-output.js';
import { isVmstate } from './ledger.js';
import { PendingCluster, type PendingMemory } from './pending-clusters.js';
import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH, VMA_FULL_MASK, VMA_MAX_DEVICE_SIZE } from './words.js';

/** What was written of a device. */
export interface WrittenDevice {
  /** As the archive names it. */
  readonly device: VmaDevice;
  /** The device's own bytes; the archive's size is the next multiple of 512. Of `vmstate`, what was given. */
  readonly length: number;
  /** Clusters whose every block is stored, some are, none is. */
  readonly full: number;
  readonly partial: number;
  readonly zero: number;
  /** Bytes that were given as data, and bytes that are stored. */
  readonly dataLength: number;
  readonly storedLength: number;
}

export interface DeviceShape {
  readonly device: VmaDevice;
  /** The device's own bytes; nothing is taken behind them. */
  readonly length: number;
  readonly output: ExtentOutput;
  readonly memory: PendingMemory;
}

interface Piece {
  readonly clusterIndex: number;
  /** In the cluster. */
  readonly start: number;
  readonly end: number;
  /** Null for zeros. */
  readonly bytes: Buffer | null;
}

/**
 * Makes clusters of one device from pieces of any size, alignment and order; each exactly once. What was never given is
 * zeros. The caller sees to it that one call ends before the next begins.
 */
export class DeviceClusters {
  readonly device: VmaDevice;
  readonly #vmstate: boolean;
  readonly #end: number;
  readonly #output: ExtentOutput;
  readonly #memory: PendingMemory;
  readonly #begun = new ClusterSet();
  readonly #pending = new Map<number, PendingCluster>();
  /** Behind the last byte of `vmstate`. */
  #position = 0;
  #full = 0;
  #partial = 0;
  #zero = 0;
  #dataLength = 0;
  #storedLength = 0;

  constructor({ device, length, output, memory }: DeviceShape) {
    this.device = device;
    this.#vmstate = isVmstate(device);
    this.#end = this.#vmstate ? VMA_MAX_DEVICE_SIZE : length;
    this.#output = output;
    this.#memory = memory;
  }

  /** Takes bytes, or zeros where there are none. @throws VBackupError VB_VMA_WRITE */
  async put(offset: number, length: number, bytes: Buffer | null): Promise<void> {
    this.#checkRange(offset, length);
    this.#position = offset + length;
    if (bytes !== null) this.#dataLength += length;
    for (let at = offset; at < offset + length; ) {
      const clusterIndex = Math.floor(at / VMA_CLUSTER_LENGTH);
      const base = clusterIndex * VMA_CLUSTER_LENGTH;
      const end = Math.min(offset + length, base + VMA_CLUSTER_LENGTH);
      const part = bytes?.subarray(at - offset, end - offset) ?? null;
      if (this.#putPiece({ clusterIndex, start: at - base, end: end - base, bytes: part })) await this.#output.flush();
      at = end;
    }
  }

  /** Writes what is incomplete, then zero clusters for what was never given. */
  async end(): Promise<void> {
    for (const [clusterIndex, cluster] of [...this.#pending].sort(([left], [right]) => left - right)) {
      if (this.#emitPending(clusterIndex, cluster)) await this.#output.flush();
    }
    // The clusters of memory are those that were given.
    if (this.#vmstate) return;
    for (const { first, end } of this.#begun.missing(Math.ceil(this.#end / VMA_CLUSTER_LENGTH))) {
      for (let clusterIndex = first; clusterIndex < end; clusterIndex += 1) {
        if (this.#emit(clusterIndex, zeroContent)) await this.#output.flush();
      }
    }
  }

  written(): WrittenDevice {
    return {
      device: this.device,
      length: this.#vmstate ? this.#position : this.#end,
      full: this.#full,
      partial: this.#partial,
      zero: this.#zero,
      dataLength: this.#dataLength,
      storedLength: this.#storedLength,
    };
  }

  #checkRange(offset: number, length: number): void {
    const valid = Number.isSafeInteger(offset) && offset >= 0 && offset + length <= this.#end;
    if (!valid) throw this.#refusal(`${length} bytes at ${offset} are not inside of its ${this.#end}`);
    if (this.#vmstate && offset !== this.#position) {
      throw this.#refusal(`byte ${offset} was given where ${this.#position} has to come`);
    }
  }

  /** Returns whether an extent is full. */
  #putPiece(piece: Piece): boolean {
    const { clusterIndex, start, end, bytes } = piece;
    const length = this.#lengthOf(clusterIndex);
    const blocksOnly = length % VMA_BLOCK_LENGTH === 0;
    const isWhole = start === 0 && end === length;
    if (!isWhole || (bytes !== null && !blocksOnly)) return this.#putPart(piece, length);
    if (!this.#begun.add(clusterIndex)) throw this.#twice(clusterIndex);
    return this.#emit(clusterIndex, this.#contentOf(bytes));
  }

  #putPart({ clusterIndex, start, end, bytes }: Piece, length: number): boolean {
    const cluster = this.#pending.get(clusterIndex) ?? this.#begin(clusterIndex, length);
    if (!cluster.give(start, end)) throw this.#twice(clusterIndex);
    bytes?.copy(cluster.bytes, start);
    return cluster.isComplete && this.#emitPending(clusterIndex, cluster);
  }

  #begin(clusterIndex: number, length: number): PendingCluster {
    if (!this.#begun.add(clusterIndex)) throw this.#twice(clusterIndex);
    const cluster = new PendingCluster(this.#memory.take(), length);
    this.#pending.set(clusterIndex, cluster);
    return cluster;
  }

  #emitPending(clusterIndex: number, cluster: PendingCluster): boolean {
    const blocks = Math.ceil(this.#lengthOf(clusterIndex) / VMA_BLOCK_LENGTH);
    const bytes = this.#vmstate ? cluster.bytes : cluster.bytes.subarray(0, blocks * VMA_BLOCK_LENGTH);
    const isFull = this.#emit(clusterIndex, this.#contentOf(bytes));
    this.#output.keep();
    this.#pending.delete(clusterIndex);
    this.#memory.give(cluster.bytes);
    return isFull;
  }

  #contentOf(bytes: Buffer | null): ClusterContent {
    if (this.#vmstate) return denseContent(bytes ?? undefined);
    return bytes === null ? zeroContent : sparseContent(bytes);
  }

  #emit(clusterIndex: number, content: ClusterContent): boolean {
    if (content.mask === VMA_FULL_MASK) this.#full += 1;
    else if (content.mask === 0) this.#zero += 1;
    else this.#partial += 1;
    this.#storedLength += content.blockCount * VMA_BLOCK_LENGTH;
    return this.#output.add({ deviceId: this.device.id, clusterIndex }, content);
  }

  /** Of a cluster, up to the end of the device. */
  #lengthOf(clusterIndex: number): number {
    return Math.min(VMA_CLUSTER_LENGTH, this.#end - clusterIndex * VMA_CLUSTER_LENGTH);
  }

  #twice(clusterIndex: number): VBackupError {
    return this.#refusal(`bytes of cluster ${clusterIndex} were given twice`);
  }

  #refusal(what: string): VBackupError {
    return new VBackupError('VB_VMA_WRITE', `cannot write device ${this.device.name}: ${what}`);
  }
}
