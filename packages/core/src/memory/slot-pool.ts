import assert from 'node:assert/strict';
import type { WithSignal } from '../hypervisor/index.js';
import { spareMemory } from './spare-memory.js';
import { WaitingLine } from './waiting-line.js';

/** A piece of the pool; whoever acquired it releases it, once. */
export interface Slot {
  readonly buffer: Buffer;
  release(): void;
}

/** A fixed number of equal buffers in shared memory, handed out in the order of asking. Nothing is allocated per block. */
export class SlotPool implements Disposable {
  readonly slotLength: number;
  readonly #line = new WaitingLine<null, Slot>();
  readonly #memories: SharedArrayBuffer[] = [];
  #count = 0;
  #free: Buffer[] = [];
  #disposed = false;

  constructor(shape: { readonly count: number; readonly length: number }) {
    this.slotLength = shape.length;
    this.grow(shape.count);
  }

  /** Takes memory for more slots, if there are fewer than `count`. */
  grow(count: number): void {
    const more = count - this.#count;
    if (more <= 0 || this.#disposed) return;
    this.#count = count;
    const memory = spareMemory.take(more * this.slotLength);
    this.#memories.push(memory);
    for (let index = 0; index < more; index += 1) {
      this.#slot(Buffer.from(memory, index * this.slotLength, this.slotLength)).release();
    }
  }

  /** Waits for a free slot; its content is whatever was there. */
  acquire(options: WithSignal = {}): Promise<Slot> {
    options.signal?.throwIfAborted();
    assert.ok(!this.#disposed, 'the pool is disposed');
    const buffer = this.#free.pop();
    return buffer === undefined ? this.#line.join(null, options.signal) : Promise.resolve(this.#slot(buffer));
  }

  /** Leaves the memory to other pools, if every slot is back: a thread or a device may still write to one that is not. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#free.length === this.#count) for (const memory of this.#memories) spareMemory.give(memory);
    this.#free = [];
  }

  #slot(buffer: Buffer): Slot {
    let held = true;
    return {
      buffer,
      release: () => {
        if (!held) return;
        held = false;
        if (this.#line.isEmpty) this.#free.push(buffer);
        else this.#line.serve(this.#slot(buffer));
      },
    };
  }
}
