import { abortError, VBackupError } from '../errors/index.js';
import { type Extent, endOf } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { ioError } from '../storage/io-error.js';
import type { BlockRange, Filemap, FilemapStatistics, MapExtent, MapMethod } from './filemap.js';
import { FlatIterator } from './flat-iterator.js';
import { KeptRanges } from './kept-ranges.js';
import { assertSize, type MapBatches, type MapSource } from './map-source.js';

export interface MappedFileShape {
  readonly source: MapSource;
  readonly method: MapMethod;
  readonly fileSystem: string;
  readonly batches: MapBatches;
  readonly close: () => Promise<void>;
}

/** A file and the method that maps it. Extents arrive in batches; only the outermost layer hands out single ones. */
export class MappedFile implements Filemap {
  readonly path: string;
  readonly size: number;
  readonly blockSize: number;
  readonly method: MapMethod;
  readonly fileSystem: string;
  readonly isBlockDevice: boolean;
  readonly #shape: MappedFileShape;
  readonly #kept = new KeptRanges((window) => this.dataRanges(window));
  #closing: Promise<void> | undefined;

  constructor(shape: MappedFileShape) {
    const { source } = shape;
    this.#shape = shape;
    this.path = source.path;
    this.size = source.size;
    this.blockSize = source.blockSize;
    this.isBlockDevice = source.isBlockDevice;
    this.method = shape.method;
    this.fileSystem = shape.fileSystem;
  }

  extents(range?: Extent, options: WithSignal = {}): AsyncIterableIterator<MapExtent, void, undefined> {
    return new FlatIterator(this.#batches(range, options));
  }

  dataRanges(range?: Extent, options: WithSignal = {}): AsyncGenerator<Extent, void, undefined> {
    return this.#joined((extent) => extent.kind === 'data', range, options);
  }

  holeRanges(range?: Extent, options: WithSignal = {}): AsyncGenerator<Extent, void, undefined> {
    return this.#joined((extent) => extent.kind !== 'data', range, options);
  }

  async *blockRanges(blockLength: number, options: WithSignal = {}): AsyncGenerator<BlockRange, void, undefined> {
    if (!Number.isSafeInteger(blockLength) || blockLength <= 0) {
      throw new VBackupError('VB_INVALID_ARGUMENT', `${blockLength} is no length of a block`);
    }
    let first = 0;
    let end = 0;
    for await (const extent of this.dataRanges(undefined, options)) {
      const next = Math.floor(extent.offset / blockLength);
      if (next > end) {
        if (end > first) yield { first, count: end - first };
        first = next;
      }
      end = Math.ceil(endOf(extent) / blockLength);
    }
    if (end > first) yield { first, count: end - first };
  }

  async isMapped(offset: number, { signal }: WithSignal = {}): Promise<boolean> {
    if (!Number.isSafeInteger(offset) || offset < 0 || offset >= this.size) {
      throw new VBackupError('VB_INVALID_ARGUMENT', `${offset} is no offset in the ${this.size} bytes of ${this.path}`);
    }
    if (signal?.aborted === true) throw abortError(signal);
    return this.#kept.has(offset);
  }

  async statistics(options: WithSignal = {}): Promise<FilemapStatistics> {
    const bytes = { data: 0, zero: 0, hole: 0 };
    let extents = 0;
    for await (const batch of this.#batches(undefined, options)) {
      for (const { kind, length } of batch) bytes[kind] += length;
      extents += batch.length;
    }
    return { size: this.size, ...bytes, extents };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#shape.close();
    return this.#closing;
  }

  async *#joined(
    wanted: (extent: MapExtent) => boolean,
    range: Extent | undefined,
    options: WithSignal,
  ): AsyncGenerator<Extent, void, undefined> {
    let offset = 0;
    let end = -1;
    for await (const batch of this.#batches(range, options)) {
      for (const extent of batch) {
        if (!wanted(extent)) continue;
        if (extent.offset !== end) {
          if (end >= 0) yield { offset, length: end - offset };
          offset = extent.offset;
        }
        end = endOf(extent);
      }
    }
    if (end >= 0) yield { offset, length: end - offset };
  }

  async *#batches(
    range: Extent = { offset: 0, length: this.size },
    options: WithSignal,
  ): AsyncGenerator<readonly MapExtent[], void, undefined> {
    const { source, batches } = this.#shape;
    const wanted = this.#clipped(range);
    try {
      await assertSize(source);
      if (wanted.length > 0) yield* batches(source, wanted, options);
      await assertSize(source);
    } catch (error) {
      throw ioError(error, `cannot map ${this.path}`);
    }
  }

  /** A range may reach beyond the end of the file: nothing is there, and nothing is said of it. */
  #clipped({ offset, length }: Extent): Extent {
    if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0) {
      throw new VBackupError('VB_INVALID_ARGUMENT', `${length} bytes from ${offset} on are no range`);
    }
    const start = Math.min(offset, this.size);
    return { offset: start, length: Math.min(length, this.size - start) };
  }
}
