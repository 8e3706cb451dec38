import { type AllocationExtent, type Extent, endOf } from '../../extent/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import type { ChangedSince, DirtyExtent, DiskWriteOptions, DiskWrites, ServedDisk } from '../served-disk.js';
import type { Overlay } from './overlay.js';
import { BLOCK_LENGTH } from './overlay-format.js';
import { RangeLock } from './range-lock.js';

const ZEROS = Buffer.alloc(BLOCK_LENGTH);

/** A disk that is read beneath an overlay, and written to the overlay alone. Closing it closes both. */
export class OverlayDisk implements ServedDisk, DiskWrites {
  readonly #base: ServedDisk;
  readonly #overlay: Overlay;
  readonly #lock = new RangeLock();
  readonly name: string;
  readonly description: string;
  readonly size: number;
  readonly sequential: boolean | undefined;
  readonly changedSince: readonly ChangedSince[];
  readonly writes: DiskWrites;

  constructor(base: ServedDisk, overlay: Overlay) {
    this.#base = base;
    this.#overlay = overlay;
    this.name = base.name;
    this.description = base.description;
    this.size = base.size;
    this.sequential = base.sequential;
    this.changedSince = base.changedSince.map((since) => ({
      id: since.id,
      extents: (range, options) => this.#changed(since, range, options),
    }));
    this.writes = this;
  }

  async read(offset: number, target: Buffer, options: WithSignal = {}): Promise<void> {
    for await (const run of this.#overlay.runs({ offset, length: target.length })) {
      options.signal?.throwIfAborted();
      const part = target.subarray(run.offset - offset, endOf(run) - offset);
      if (run.state === 'zero') part.fill(0);
      else if (run.state === 'data') await this.#overlay.read(part, run.offset);
      else await this.#base.read(run.offset, part, options);
    }
  }

  async *extents(range: Extent, options: WithSignal = {}): AsyncGenerator<AllocationExtent> {
    for await (const { offset, length, state } of this.#overlay.runs(range)) {
      if (state === 'base') yield* this.#base.extents({ offset, length }, options);
      else yield { offset, length, kind: state === 'data' ? 'data' : 'hole' };
    }
  }

  async write(offset: number, bytes: Buffer, options: DiskWriteOptions = {}): Promise<void> {
    await this.#change({ offset, length: bytes.length }, () => this.#overlay.write(bytes, offset), options);
    if (options.fua === true) await this.flush();
  }

  async zero(range: Extent, options: DiskWriteOptions & { readonly hole?: boolean | undefined } = {}): Promise<void> {
    if (options.hole === true) await this.#clear(range, options);
    else await this.#change(range, () => this.#overlay.writeZeros(range), options);
    if (options.fua === true) await this.flush();
  }

  async trim(range: Extent, options: DiskWriteOptions = {}): Promise<void> {
    await this.zero(range, { ...options, hole: true });
  }

  flush(): Promise<void> {
    return this.#overlay.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#overlay[Symbol.asyncDispose]();
    } finally {
      await this.#base[Symbol.asyncDispose]();
    }
  }

  /** Has `write` write the range, and what its first and last block lack beside it; then the blocks are the overlay's. */
  async #change(range: Extent, write: () => Promise<void>, options: WithSignal): Promise<void> {
    const blocks = this.#outward(range);
    await this.#lock.hold(blocks, async () => {
      await this.#fill({ offset: blocks.offset, length: range.offset - blocks.offset }, options);
      await this.#fill({ offset: endOf(range), length: endOf(blocks) - endOf(range) }, options);
      await write();
      await this.#overlay.hold(blocks);
    });
  }

  /** Copies part of a block up, unless the overlay has that block. */
  async #fill(part: Extent, options: WithSignal): Promise<void> {
    if (part.length === 0) return;
    for await (const { state } of this.#overlay.runs(part)) if (state === 'data') return;
    const bytes = Buffer.alloc(part.length);
    await this.read(part.offset, bytes, options);
    await this.#overlay.write(bytes, part.offset);
  }

  /** Whole blocks are noted as zero, and parts of one are written. */
  async #clear(range: Extent, options: WithSignal): Promise<void> {
    const whole = this.#inward(range);
    if (whole === null) return await this.#writeZeros(range, options);
    await this.#writeZeros({ offset: range.offset, length: whole.offset - range.offset }, options);
    await this.#lock.hold(whole, () => this.#overlay.clear(whole));
    await this.#writeZeros({ offset: endOf(whole), length: endOf(range) - endOf(whole) }, options);
  }

  /** Up to two blocks of them. */
  async #writeZeros(range: Extent, options: WithSignal): Promise<void> {
    const middle = Math.min(endOf(this.#outward({ offset: range.offset, length: 1 })), endOf(range));
    for (const part of [
      { offset: range.offset, length: middle - range.offset },
      { offset: middle, length: endOf(range) - middle },
    ]) {
      if (part.length > 0 && !(await this.#isClear(part))) {
        await this.#change(part, () => this.#overlay.write(ZEROS.subarray(0, part.length), part.offset), options);
      }
    }
  }

  async #isClear(part: Extent): Promise<boolean> {
    for await (const { state } of this.#overlay.runs(part)) if (state !== 'zero') return false;
    return true;
  }

  async *#changed(since: ChangedSince, range: Extent, options: WithSignal = {}): AsyncGenerator<DirtyExtent> {
    for await (const { offset, length, state } of this.#overlay.runs(range)) {
      if (state === 'base') yield* since.extents({ offset, length }, options);
      else yield { offset, length, dirty: true };
    }
  }

  /** The blocks that hold some of `range`; the last of the disk may be shorter. */
  #outward(range: Extent): Extent {
    const offset = Math.floor(range.offset / BLOCK_LENGTH) * BLOCK_LENGTH;
    const end = Math.min(Math.ceil(endOf(range) / BLOCK_LENGTH) * BLOCK_LENGTH, this.size);
    return { offset, length: end - offset };
  }

  /** The blocks that lie in `range` with all that they have. */
  #inward(range: Extent): Extent | null {
    const offset = Math.ceil(range.offset / BLOCK_LENGTH) * BLOCK_LENGTH;
    const end = endOf(range) === this.size ? this.size : Math.floor(endOf(range) / BLOCK_LENGTH) * BLOCK_LENGTH;
    return end > offset ? { offset, length: end - offset } : null;
  }
}
