import { abortError, VBackupError } from '../errors/index.js';
import type { AllocationExtent, Extent } from '../extent/index.js';
import type { VmaDevice } from './archive.js';
import type { ClusterIndex } from './cluster-index.js';
import { isVmstate } from './ledger.js';
import { blockRuns } from './mask-bitmap.js';
import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH } from './words.js';

export interface ImageReadOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Fills buffers, one after the other, with the bytes of the archive from `position` on. @throws VBackupError */
export type ReadArchiveAt = (position: number, buffers: readonly Buffer[]) => Promise<void>;

/** A range of an image, and where its bytes stand in the archive; undefined for zeros. */
interface Piece extends AllocationExtent {
  readonly fileOffset: number | undefined;
}

/** What is known of a range without reading it: never a digest, the format has none. */
export interface VmaFingerprint extends Extent {
  readonly kind: 'data' | 'zero';
  readonly digest: null;
}

/** One device of an archive, any range of it in any order. Has the shape of the backup room's ImageReader. */
export class VmaImageReader implements AsyncDisposable {
  readonly device: VmaDevice;
  /** Bytes; of `vmstate`, whole clusters. */
  readonly size: number;
  readonly #index: ClusterIndex;
  readonly #readAt: ReadArchiveAt;

  constructor(device: VmaDevice, index: ClusterIndex, readAt: ReadArchiveAt) {
    this.device = device;
    this.size = isVmstate(device) ? index.end * VMA_CLUSTER_LENGTH : device.size;
    this.#index = index;
    this.#readAt = readAt;
  }

  /**
   * Complete cover of `range` (default: the device), ascending, at 4 KiB. `zero` is what the archive says is zero; `hole` is a
   * cluster that a salvaged archive lacks. No two neighbours have one kind.
   */
  *extents(range: Extent = { offset: 0, length: this.size }): Generator<AllocationExtent, void, undefined> {
    let open: AllocationExtent | undefined;
    for (const { offset, length, kind } of this.#pieces(range)) {
      if (open?.kind === kind) {
        open = { offset: open.offset, length: open.length + length, kind };
        continue;
      }
      if (open !== undefined) yield open;
      open = { offset, length, kind };
    }
    if (open !== undefined) yield open;
  }

  /** Which blocks are stored of the clusters that begin in `range` (default: the device); without those that are missing. */
  *masks({ offset, length }: Extent = { offset: 0, length: this.size }): Generator<number, void, undefined> {
    const end = Math.ceil((offset + length) / VMA_CLUSTER_LENGTH);
    for (let index = Math.ceil(offset / VMA_CLUSTER_LENGTH); index < end; index += 1) {
      const located = this.#index.find(index);
      if (located !== undefined) yield located.mask;
    }
  }

  /** As {@link extents}; what is missing counts as zero. */
  async *fingerprints(
    range: Extent,
    { signal }: ImageReadOptions = {},
  ): AsyncGenerator<VmaFingerprint, void, undefined> {
    let open: VmaFingerprint | undefined;
    for (const { offset, length, kind: allocation } of this.extents(range)) {
      if (signal?.aborted === true) throw abortError(signal);
      const kind = allocation === 'data' ? 'data' : 'zero';
      if (open?.kind === kind) {
        open = { offset: open.offset, length: open.length + length, kind, digest: null };
        continue;
      }
      if (open !== undefined) yield open;
      open = { offset, length, kind, digest: null };
    }
    if (open !== undefined) yield open;
  }

  /**
   * Fills `target`. Blocks that stand together in the archive are read at once, straight into their places.
   * @throws VBackupError VB_INVALID_ARGUMENT, VB_VMA_TRUNCATED_EXTENT, VB_IO, VB_ABORTED
   */
  async read(offset: number, target: Buffer, { signal }: ImageReadOptions = {}): Promise<void> {
    const { length } = target;
    if (offset < 0 || offset + length > this.size) {
      throw new VBackupError('VB_INVALID_ARGUMENT', `read of ${length} bytes at ${offset}, of ${this.size}`);
    }
    let together: { readonly position: number; end: number; readonly buffers: Buffer[] } | undefined;
    for (const piece of this.#pieces({ offset, length })) {
      const view = target.subarray(piece.offset - offset, piece.offset - offset + piece.length);
      if (piece.fileOffset === undefined) {
        view.fill(0);
        continue;
      }
      if (together === undefined || together.end !== piece.fileOffset) {
        if (together !== undefined) await this.#readAt(together.position, together.buffers);
        if (signal?.aborted === true) throw abortError(signal);
        together = { position: piece.fileOffset, end: piece.fileOffset, buffers: [] };
      }
      together.buffers.push(view);
      together.end += piece.length;
    }
    if (together !== undefined) await this.#readAt(together.position, together.buffers);
  }

  /** Nothing: the archive is closed by who opened it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }

  /** The runs of blocks that touch the range, cut to it. */
  *#pieces(range: Extent): Generator<Piece, void, undefined> {
    const end = Math.min(range.offset + range.length, this.size);
    const first = Math.floor(range.offset / VMA_CLUSTER_LENGTH);
    for (let index = first; index * VMA_CLUSTER_LENGTH < end; index += 1) {
      for (const piece of this.#clusterPieces(index)) {
        const offset = Math.max(piece.offset, range.offset);
        const length = Math.min(piece.offset + piece.length, end) - offset;
        if (length <= 0) continue;
        const fileOffset = piece.fileOffset === undefined ? undefined : piece.fileOffset + offset - piece.offset;
        yield { offset, length, kind: piece.kind, fileOffset };
      }
    }
  }

  *#clusterPieces(clusterIndex: number): Generator<Piece, void, undefined> {
    const start = clusterIndex * VMA_CLUSTER_LENGTH;
    const located = this.#index.find(clusterIndex);
    if (located === undefined) {
      yield { offset: start, length: VMA_CLUSTER_LENGTH, kind: 'hole', fileOffset: undefined };
      return;
    }
    let { fileOffset } = located;
    for (const { block, count, stored } of blockRuns(located.mask)) {
      const offset = start + block * VMA_BLOCK_LENGTH;
      const length = count * VMA_BLOCK_LENGTH;
      if (!stored) yield { offset, length, kind: 'zero', fileOffset: undefined };
      else {
        yield { offset, length, kind: 'data', fileOffset };
        fileOffset += length;
      }
    }
  }
}
