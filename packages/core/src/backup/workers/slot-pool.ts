import type { WithSignal } from '../../hypervisor/index.js';
import { WaitingLine } from '../waiting-line.js';

/** A piece of the pool; whoever acquired it releases it, once. */
export interface Slot {
  readonly buffer: Buffer;
  release(): void;
}

/** A fixed number of equal buffers in shared memory, handed out in the order of asking. Nothing is allocated per block. */
export class SlotPool {
  readonly slotLength: number;
  readonly #free: Buffer[] = [];
  readonly #line = new WaitingLine<null, Slot>();

  constructor(shape: { readonly count: number; readonly length: number }) {
    this.slotLength = shape.length;
    const memory = new SharedArrayBuffer(shape.count * shape.length);
    for (let index = 0; index < shape.count; index += 1) {
      this.#free.push(Buffer.from(memory, index * shape.length, shape.length));
    }
  }

  /** Waits for a free slot; its content is whatever was there. */
  acquire(options: WithSignal = {}): Promise<Slot> {
    options.signal?.throwIfAborted();
    const buffer = this.#free.pop();
    return buffer === undefined ? this.#line.join(null, options.signal) : Promise.resolve(this.#slot(buffer));
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
