import { VBackupError } from '../../errors/index.js';
import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import type { FrameRecord } from '../frame-index/frame-record.js';
import { ZeroDigests } from './zero-digests.js';

/** In place of a layer: the range reads as zero. */
const NO_LAYER = 0xffff_ffff;

const zeros = { sha256: new ZeroDigests('sha256'), blake3: new ZeroDigests('blake3') };

/** What is laid over a map: its number, the disk's size then, and what the digests of its frames are made with. */
export interface LayerShape {
  readonly number: number;
  readonly size: number;
  readonly algorithm: DigestAlgorithm;
}

/** A range of the disk, and the frame of the layer that holds it; no frame: zeros. */
export interface Segment {
  readonly offset: number;
  readonly length: number;
  readonly frame: { readonly layer: number; readonly number: number } | null;
}

/**
 * Which frame of which layer holds each byte of a disk: a complete cover, ascending. 16 bytes per segment, in typed
 * arrays: a disk of 16 TiB has a million frames.
 */
export class SegmentMap {
  readonly size: number;
  readonly #starts: Float64Array;
  readonly #layers: Uint32Array;
  readonly #frames: Uint32Array;
  readonly #count: number;

  private constructor(size: number, rows: Rows) {
    this.size = size;
    this.#count = rows.count;
    this.#starts = rows.starts;
    this.#layers = rows.layers;
    this.#frames = rows.frames;
  }

  /** All zeros. */
  static empty(size: number): SegmentMap {
    const rows = new Rows();
    if (size > 0) rows.push(0, NO_LAYER, 0);
    return new SegmentMap(size, rows);
  }

  /**
   * This map with a layer on top of it. What the disk has grown by reads as zero where the layer has no frame; the first
   * layer is a full, and has no gaps. Frames of zeros, however they are stored, read as zero.
   * @throws VBackupError VB_INDEX_DAMAGED
   */
  async overlay(layer: LayerShape, frames: AsyncIterable<FrameRecord>): Promise<SegmentMap> {
    const { size } = layer;
    const zeroDigests = zeros[layer.algorithm];
    const rows = new Rows();
    let end = 0;
    let number = 0;
    let row = 0;
    const keep = (until: number): void => {
      row = this.#copy(rows, { offset: end, end: until, row });
    };
    for await (const frame of frames) {
      if (this.size === 0 && frame.offset !== end) throw gap(end);
      keep(frame.offset);
      const zero = frame.kind === 'zero' || zeroDigests.matches(frame.length, frame.digest);
      rows.push(frame.offset, zero ? NO_LAYER : layer.number, number);
      end = frame.offset + frame.length;
      number += 1;
    }
    if (this.size === 0 && end !== size) throw gap(end);
    keep(size);
    return new SegmentMap(size, rows);
  }

  /** Copies this map's segments in a range to `rows`. @returns the row to go on with */
  #copy(rows: Rows, range: { offset: number; end: number; row: number }): number {
    let { offset, row } = range;
    while (row > 0 && (this.#starts[row] ?? this.size) > offset) row -= 1;
    while (offset < range.end) {
      while (row < this.#count && this.#endOf(row) <= offset) row += 1;
      if (row >= this.#count) {
        rows.push(offset, NO_LAYER, 0);
        return row;
      }
      rows.push(offset, this.#layers[row] ?? NO_LAYER, this.#frames[row] ?? 0);
      offset = Math.min(range.end, this.#endOf(row));
    }
    return row;
  }

  /** Complete cover of a range, ascending; clipped to the disk. */
  *segments(range: { readonly offset: number; readonly length: number }): Generator<Segment> {
    const limit = Math.min(this.size, range.offset + range.length);
    let offset = range.offset;
    for (let row = this.#rowAt(offset); offset < limit; row += 1) {
      const end = Math.min(limit, this.#endOf(row));
      const layer = this.#layers[row] ?? NO_LAYER;
      const frame = layer === NO_LAYER ? null : { layer, number: this.#frames[row] ?? 0 };
      yield { offset, length: end - offset, frame };
      offset = end;
    }
  }

  #endOf(row: number): number {
    return row + 1 < this.#count ? (this.#starts[row + 1] ?? this.size) : this.size;
  }

  /** The last row that begins at or before `offset`. */
  #rowAt(offset: number): number {
    let low = 0;
    let high = this.#count - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Columns that grow. */
class Rows {
  starts = new Float64Array(1024);
  layers = new Uint32Array(1024);
  frames = new Uint32Array(1024);
  count = 0;

  /** Neighbouring zeros are one row. */
  push(start: number, layer: number, frame: number): void {
    if (this.count > 0 && layer === NO_LAYER && this.layers[this.count - 1] === NO_LAYER) return;
    if (this.count === this.starts.length) this.#grow();
    this.starts[this.count] = start;
    this.layers[this.count] = layer;
    this.frames[this.count] = frame;
    this.count += 1;
  }

  #grow(): void {
    const length = this.count * 2;
    const { starts, layers, frames } = this;
    this.starts = new Float64Array(length);
    this.layers = new Uint32Array(length);
    this.frames = new Uint32Array(length);
    this.starts.set(starts);
    this.layers.set(layers);
    this.frames.set(frames);
  }
}

const gap = (offset: number): VBackupError =>
  new VBackupError('VB_INDEX_DAMAGED', `the index of a full backup has no frame at disk offset ${offset}`);
