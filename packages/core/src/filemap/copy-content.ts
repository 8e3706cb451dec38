import assert from 'node:assert/strict';
import { type AllocationExtent, type Extent, endOf } from '../extent/index.js';
import { zeroRuns } from '../memory/zero-runs.js';
import { writeFully } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';
import type { CopyParts } from './copy-parts.js';
import { type CopyPiece, copyPieces } from './copy-pieces.js';
import { KernelCopy } from './kernel-copy.js';
import { readAhead } from './read-ahead.js';
import type { HoleMode } from './sparse-copy-job.js';
import { ZeroWriter } from './zero-writer.js';

/** The longest read and write, as of cp(1): of 1 MiB each, copies take about half as long again, in the kernel. */
const PIECE_LENGTH = 128 * 1024;
/** In a fresh file zeros are found in blocks of the file system, but no larger ones than this: some say 1 MiB. */
const LONGEST_ZERO_UNIT = 4096;
/** Elsewhere every run of zeros costs a call, and shorter ones are written. */
const SHORTEST_ZERO_CALL = 64 * 1024;

export interface ContentCounts {
  /** Bytes that were written as data … */
  readonly data: number;
  /** … and that read as zero; their sum is the length of the range. */
  readonly zeros: number;
}

/**
 * Copies the data extents of a range, and makes the rest of it what `holes` says.
 * @throws VBackupError VB_FILE_SHORT, VB_FILE_CHANGED, VB_NO_SPACE, VB_IO
 */
export async function copyContent(parts: CopyParts): Promise<ContentCounts> {
  const copy = new ContentCopy(parts);
  const counts = await copy.run();
  await parts.source.checkUnchanged();
  return counts;
}

class ContentCopy {
  readonly #parts: CopyParts;
  readonly #zeroWriter: ZeroWriter;
  readonly #holes: HoleMode;
  /** Null where zeros that are stored are written as they are. */
  readonly #zeroSearch: { readonly unit: number; readonly shortest: number } | null;
  #done = 0;
  #data = 0;

  constructor(parts: CopyParts) {
    const { target, libc, holes, detectZeroes } = parts;
    this.#parts = parts;
    this.#zeroWriter = new ZeroWriter({ file: target.file, isBlockDevice: target.isBlockDevice, libc });
    this.#holes = target.isFresh && holes === 'punch' ? 'leave' : holes;
    const isFree = target.isFresh && this.#holes === 'leave';
    const canSearch = detectZeroes && (isFree || this.#holes === 'punch' || this.#holes === 'zero');
    const unit = Math.min(target.blockLength, LONGEST_ZERO_UNIT);
    this.#zeroSearch = canSearch ? { unit, shortest: isFree ? 1 : SHORTEST_ZERO_CALL } : null;
  }

  async run(): Promise<ContentCounts> {
    const { range, mayShare, libc } = this.#parts;
    if (this.#zeroSearch === null && mayShare && libc !== null)
      await this.#copyInKernel(new KernelCopy(libc, this.#parts));
    if (this.#done < range.length) await this.#copyInMemory();
    assert.equal(this.#done, range.length, 'the map covers the range');
    return { data: this.#data, zeros: this.#done - this.#data };
  }

  /** Until the kernel refuses: then the rest is left to do. */
  async #copyInKernel(kernel: KernelCopy): Promise<void> {
    for await (const extent of this.#extents()) {
      if (extent.kind !== 'data') await this.#item(extent, EMPTY);
      else if (!(await kernel.copy(extent, (length) => this.#copied(length)))) return;
      this.#parts.onDone(this.#done);
    }
  }

  #copied(length: number): void {
    this.#done += length;
    this.#data += length;
    this.#parts.onDone(this.#done);
  }

  async #copyInMemory(): Promise<void> {
    const { source, signal } = this.#parts;
    await readAhead<CopyPiece>({
      pieces: copyPieces(this.#extents(), PIECE_LENGTH),
      slotLength: PIECE_LENGTH,
      signal,
      read: async ({ offset, readLength }, slot) => {
        const bytes = slot.subarray(0, readLength);
        if (readLength > 0) await source.read(offset, bytes);
        return bytes;
      },
      use: async (piece, bytes) => {
        for (const item of piece.items) {
          const from = item.offset - piece.offset;
          await this.#item(item, bytes.subarray(from, from + item.length));
        }
        this.#parts.onDone(this.#done);
      },
    });
  }

  /** Of what is not done yet. */
  #extents(): AsyncIterable<AllocationExtent> {
    const { source, range, signal } = this.#parts;
    const offset = range.offset + this.#done;
    return source.map.extents({ offset, length: endOf(range) - offset }, { signal });
  }

  /** One extent of the source; `bytes` counts only where it is data. */
  async #item({ kind, offset, length }: AllocationExtent, bytes: Buffer): Promise<void> {
    const place = { offset: offset + this.#parts.shift, length };
    if (kind === 'data') await this.#store(place.offset, bytes);
    else await this.#zero(place);
    this.#done += length;
  }

  async #store(offset: number, bytes: Buffer): Promise<void> {
    if (this.#zeroSearch === null) return this.#write(offset, bytes);
    for (const run of zeroRuns(bytes, { ...this.#zeroSearch, position: offset })) {
      if (run.kind === 'zero') await this.#zero({ offset: offset + run.offset, length: run.length });
      else await this.#write(offset + run.offset, bytes.subarray(run.offset, run.offset + run.length));
    }
  }

  async #write(offset: number, bytes: Buffer): Promise<void> {
    const { target } = this.#parts;
    await withIo(`cannot write ${target.path} at byte ${offset}`, () => writeFully(target.file, bytes, offset));
    this.#data += bytes.length;
  }

  async #zero(range: Extent): Promise<void> {
    const holes = this.#holes;
    if (holes === 'leave') return;
    const { target, signal } = this.#parts;
    const what = `cannot zero ${range.length} bytes of ${target.path} at byte ${range.offset}`;
    await withIo(what, () => this.#zeroWriter[holes](range, { signal }));
  }
}

const EMPTY = Buffer.alloc(0);
