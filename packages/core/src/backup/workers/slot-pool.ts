import type { WithSignal } from '../../hypervisor/index.js';

/** A piece of the pool; whoever acquired it releases it, once. */
export interface Slot {
  readonly buffer: Buffer;
  release(): void;
}

interface Waiter {
  readonly resolve: (slot: Slot) => void;
}

/** A fixed number of equal buffers in shared memory, handed out in the order of asking. Nothing is allocated per block. */
export class SlotPool {
  readonly slotLength: number;
  readonly #free: Buffer[] = [];
  readonly #waiters: Waiter[] = [];

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
    if (buffer !== undefined) return Promise.resolve(this.#slot(buffer));
    const { promise, resolve, reject } = Promise.withResolvers<Slot>();
    const waiter: Waiter = { resolve };
    this.#waiters.push(waiter);
    const signal = options.signal;
    if (signal === undefined) return promise;
    const stop = (): void => {
      const at = this.#waiters.indexOf(waiter);
      if (at < 0) return;
      this.#waiters.splice(at, 1);
      reject(signal.reason);
    };
    signal.addEventListener('abort', stop, { once: true });
    return promise.finally(() => signal.removeEventListener('abort', stop));
  }

  #slot(buffer: Buffer): Slot {
    let held = true;
    return {
      buffer,
      release: () => {
        if (!held) return;
        held = false;
        const waiter = this.#waiters.shift();
        if (waiter === undefined) this.#free.push(buffer);
        else waiter.resolve(this.#slot(buffer));
      },
    };
  }
}
