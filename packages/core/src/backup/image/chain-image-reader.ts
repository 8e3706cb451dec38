import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import type { AllocationExtent, Extent } from '../../extent/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import { joinLoans, type Loan } from '../../memory/loan.js';
import { fillZeros, zeroParts } from '../../memory/shared-bytes.js';
import { withIo } from '../../storage/io-error.js';
import { frameLengthOf, slotCountOf } from '../copy/geometry.js';
import type { FrameRecord } from '../frame-index/frame-record.js';
import { FrameIndexReader } from '../frame-index/index-reader.js';
import type { Fingerprint, ImageReader } from '../image.js';
import type { Manifest, ManifestDisk } from '../manifest.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { type DiskLayer, diskLayers } from './disk-layers.js';
import { FrameCache, type FrameOrigin } from './frame-cache.js';
import { fetchFrame, type StreamSource } from './frame-loader.js';
import { type Segment, SegmentMap } from './segment-map.js';

/** Frames that are read and decoded at once: two threads have work while the next frames come from the file. */
const LOAD_LIMIT = 4;

/** Names one disk of one backup. */
export interface ImageSelection extends WithSignal {
  /** The repository's folder. */
  readonly root: string;
  readonly manifest: Manifest;
  readonly disk: string;
  /** For decoded frames, shared with other images; missing: a small one of its own. */
  readonly cache?: FrameCache | undefined;
}

interface Layer {
  /** Tells its frames from those of every other file: the digest of its index vouches for their bytes. */
  readonly key: string;
  readonly index: FrameIndexReader;
  readonly source: StreamSource;
}

/** One disk of one backup, its chain resolved through the indexes: any range is read without reading the rest. */
export class ChainImageReader implements ImageReader {
  readonly size: number;
  readonly #layers: readonly Layer[];
  readonly #map: SegmentMap;
  readonly #cache: FrameCache;
  readonly #ownsCache: boolean;
  readonly #lease = sharedWorkers.lease();

  readonly #loading = new Set<Promise<void>>();

  /** Frames on their way that nobody waits for. */
  readonly #ahead = new Set<Promise<void>>();

  private constructor(map: SegmentMap, layers: readonly Layer[], cache: FrameCache | undefined) {
    this.size = map.size;
    this.#map = map;
    this.#layers = layers;
    const frameLength = frameLengthOf(map.size);
    this.#cache = cache ?? new FrameCache({ bytes: slotCountOf(frameLength) * frameLength, longest: frameLength });
    this.#ownsCache = cache === undefined;
  }

  /**
   * Checks every link of the chain before the first byte is read.
   * @throws VBackupError VB_BACKUP_NOT_FOUND (no such disk), VB_CHAIN_BROKEN, VB_FILE_MISSING, VB_FILE_SIZE,
   * VB_INDEX_DAMAGED
   */
  static async open(selection: ImageSelection): Promise<ChainImageReader> {
    const { root, manifest, signal } = selection;
    const disks = await diskLayers(root, manifest, selection.disk);
    const layers: Layer[] = [];
    try {
      let map = SegmentMap.empty(0);
      for (const [number, disk] of disks.entries()) {
        const layer = await openLayer(root, disk);
        layers.push(layer);
        const { algorithm } = layer.index;
        const shape = { number, size: disk.disk.size, algorithm };
        map = await map.overlay(shape, layer.index.scan({ signal, sha256: disk.indexSha256 }));
      }
      return new ChainImageReader(map, layers, selection.cache);
    } catch (error) {
      await closeLayers(layers);
      throw error;
    }
  }

  *extents(range: Extent = { offset: 0, length: this.size }): Generator<AllocationExtent> {
    let last: AllocationExtent | undefined;
    for (const { offset, length, frame } of this.#map.segments(range)) {
      const kind = frame === null ? 'zero' : 'data';
      if (last?.kind === kind) {
        last = { kind, offset: last.offset, length: last.length + length };
        continue;
      }
      if (last !== undefined) yield last;
      last = { kind, offset, length };
    }
    if (last !== undefined) yield last;
  }

  async *fingerprints(range: Extent, options: WithSignal = {}): AsyncGenerator<Fingerprint> {
    for (const { offset, length, frame } of this.#map.segments(range)) {
      options.signal?.throwIfAborted();
      if (frame === null) yield { kind: 'zero', offset, length, digest: null };
      else {
        const { index } = this.#layerOf(frame);
        const record = await index.record(frame.number);
        const whole = record.offset === offset && record.length === length;
        const digest = { algorithm: index.algorithm, bytes: record.digest };
        yield { kind: 'data', offset, length, digest: whole ? digest : null, frame: { digest, offset: record.offset } };
      }
    }
  }

  async read(offset: number, target: Buffer, options: WithSignal = {}): Promise<void> {
    this.#requireInside({ offset, length: target.length });
    const reads: Promise<void>[] = [];
    try {
      for (const { offset: at, length, frame } of this.#map.segments({ offset, length: target.length })) {
        const part = target.subarray(at - offset, at - offset + length);
        if (frame === null) {
          fillZeros(part, 0, part.length);
          continue;
        }
        if (reads.length >= LOAD_LIMIT) await reads.shift();
        const read = this.#useFrame(frame, (bytes, start) => bytes.copy(part, 0, at - start), options);
        read.catch(() => undefined);
        reads.push(read);
      }
      for (const read of reads) await read;
    } finally {
      // Nobody writes to the target any more.
      await Promise.allSettled(reads);
    }
  }

  async lend(range: Extent, options: WithSignal = {}): Promise<Loan | undefined> {
    this.#requireInside(range);
    const segments: Segment[] = [];
    for (const segment of this.#map.segments(range)) if (segments.push(segment) > LOAD_LIMIT) return undefined;
    const settled = await Promise.allSettled(segments.map((segment) => this.#lendSegment(segment, options)));
    const loan = joinLoans(settled.flatMap((each) => (each.status === 'fulfilled' ? (each.value ?? []) : [])));
    const complete = settled.every((each) => each.status === 'fulfilled' && each.value !== undefined);
    if (complete) return loan;
    loan[Symbol.dispose]();
    const failed = settled.find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return undefined;
  }

  /** Begins to load what will be asked for next, as far as there is nothing else to do; says nothing of what fails. */
  prefetch(range: Extent): void {
    for (const { frame } of this.#map.segments(range)) {
      if (this.#ahead.size >= LOAD_LIMIT) return;
      if (frame === null || this.#cache.has(this.#keyOf(frame))) continue;
      const loading = this.#useFrame(frame, () => undefined, {})
        .catch(() => undefined)
        .finally(() => this.#ahead.delete(loading));
      this.#ahead.add(loading);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ahead);
    // Workers read from the files that are closed here.
    await Promise.allSettled(this.#loading);
    if (this.#ownsCache) this.#cache[Symbol.dispose]();
    await closeLayers(this.#layers);
    await this.#lease[Symbol.asyncDispose]();
  }

  #requireInside({ offset, length }: Extent): void {
    if (offset >= 0 && offset + length <= this.size) return;
    throw new VBackupError('VB_INVALID_ARGUMENT', `cannot read ${length} bytes at ${offset} of ${this.size}`);
  }

  async #lendSegment({ offset, length, frame }: Segment, options: WithSignal): Promise<Loan | undefined> {
    if (frame === null) return { parts: zeroParts(length), [Symbol.dispose]: () => undefined };
    const { index, source } = this.#layerOf(frame);
    const record = await index.record(frame.number);
    const origin = this.#originOf(source, record);
    const loan = await this.#cache.lend(this.#keyOf(frame), origin, options);
    if (loan === undefined) return undefined;
    const at = offset - record.offset;
    return { ...loan, parts: loan.parts.map((bytes) => bytes.subarray(at, at + length)) };
  }

  async #useFrame(
    frame: FrameOfLayer,
    use: (bytes: Buffer, start: number) => void,
    options: WithSignal,
  ): Promise<void> {
    const { index, source } = this.#layerOf(frame);
    const record = await index.record(frame.number);
    const origin = this.#originOf(source, record);
    await this.#cache.use(this.#keyOf(frame), { ...origin, use: (bytes) => use(bytes, record.offset) }, options);
  }

  #originOf(source: StreamSource, record: FrameRecord): FrameOrigin {
    return { length: record.length, load: (target) => this.#load(source, record, target) };
  }

  async #load(source: StreamSource, record: FrameRecord, target: Buffer): Promise<void> {
    const loading = fetchFrame(source, record, { workers: sharedWorkers, target });
    this.#loading.add(loading);
    try {
      await loading;
    } finally {
      this.#loading.delete(loading);
    }
  }

  #keyOf(frame: FrameOfLayer): string {
    return `${this.#layerOf(frame).key}/${frame.number}`;
  }

  #layerOf({ layer }: FrameOfLayer): Layer {
    const found = this.#layers[layer];
    if (found === undefined) throw new VBackupError('VB_INTERNAL', `no layer ${layer}`);
    return found;
  }
}

type FrameOfLayer = NonNullable<Segment['frame']>;

async function openLayer(root: string, { manifest, disk, indexSha256 }: DiskLayer): Promise<Layer> {
  const index = await FrameIndexReader.open(join(root, manifest.chain, disk.index));
  try {
    const path = join(root, manifest.chain, disk.file);
    const file: FileHandle = await withIo(`cannot open ${path}`, () => open(path, 'r'));
    return { key: indexSha256, index, source: sourceOf(file, { path, manifest, disk, index }) };
  } catch (error) {
    await index[Symbol.asyncDispose]();
    throw error;
  }
}

/** A stream of a backup for {@link fetchFrame}. */
export const sourceOf = (
  file: FileHandle,
  of: {
    readonly path: string;
    readonly manifest: Manifest;
    readonly disk: ManifestDisk;
    readonly index: Pick<FrameIndexReader, 'algorithm'>;
  },
): StreamSource => ({
  file,
  path: of.path,
  compressed: of.manifest.compression === 'lz4',
  algorithm: of.index.algorithm,
  what: `backup ${of.manifest.id}, disk ${of.disk.name}`,
});

async function closeLayers(layers: readonly Layer[]): Promise<void> {
  for (const { index, source } of layers) {
    await index[Symbol.asyncDispose]();
    await source.file.close();
  }
}
