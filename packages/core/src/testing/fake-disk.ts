import { type AllocationExtent, coalesce, type Extent, endOf } from '../extent/index.js';
import type { BlockReader, WithSignal } from '../hypervisor/index.js';

/** Changes are tracked in units of this length, as hypervisors do. */
export const TRACKING_UNIT = 64 * 1024;

/** A disk in memory that remembers which units were written since each of its checkpoints. */
export class FakeDisk {
  readonly id: string;
  readonly name: string;
  readonly label: string;
  #content: Buffer;
  readonly #dirty = new Map<string, Set<number>>();

  constructor(shape: { readonly id: string; readonly name: string; readonly label?: string; readonly size: number }) {
    this.id = shape.id;
    this.name = shape.name;
    this.label = shape.label ?? '';
    this.#content = Buffer.alloc(shape.size);
  }

  get size(): number {
    return this.#content.length;
  }

  /** What the guest does. */
  guestWrite(offset: number, bytes: Uint8Array): void {
    this.#content.set(bytes, offset);
    for (const dirty of this.#dirty.values()) markDirty(dirty, { offset, length: bytes.length });
  }

  /** What the guest does past all change tracking: a fault that only an audit finds. */
  secretWrite(offset: number, bytes: Uint8Array): void {
    this.#content.set(bytes, offset);
  }

  /** Grows the disk with zeros, or cuts it. */
  resize(size: number): void {
    const content = Buffer.alloc(size);
    this.#content.copy(content);
    this.#content = content;
  }

  /** A copy of all bytes. */
  content(): Buffer {
    return Buffer.from(this.#content);
  }

  /** Begins to remember what is written from now on. */
  track(checkpoint: string): void {
    this.#dirty.set(checkpoint, new Set());
  }

  forget(checkpoint: string): void {
    this.#dirty.delete(checkpoint);
  }

  /** What was written since a checkpoint; null if it is not there. */
  changedSince(checkpoint: string): readonly Extent[] | null {
    const dirty = this.#dirty.get(checkpoint);
    if (dirty === undefined) return null;
    const units = [...dirty].toSorted((left, right) => left - right);
    const extents = units.map((unit) => ({ offset: unit * TRACKING_UNIT, length: TRACKING_UNIT }));
    return [...coalesce(extents)].flatMap(({ offset, length }) =>
      offset < this.size ? [{ offset, length: Math.min(length, this.size - offset) }] : [],
    );
  }
}

function markDirty(dirty: Set<number>, { offset, length }: Extent): void {
  for (let at = Math.floor(offset / TRACKING_UNIT); at * TRACKING_UNIT < offset + length; at += 1) dirty.add(at);
}

export interface FakeReaderOptions {
  /** Called before each read is answered; may throw, or wait. */
  readonly onRead?: ((offset: number) => void | Promise<void>) | undefined;
  readonly onClose?: (() => void) | undefined;
}

/** Frozen bytes as a device. It answers requests out of order, and checks that they keep its limits. */
export class FakeReader implements BlockReader {
  readonly size: number;
  readonly limits = { alignment: 512, maximumRequest: 256 * 1024, maximumInFlight: 16 };
  readonly #content: Buffer;
  readonly #options: FakeReaderOptions;
  #requests = 0;

  constructor(content: Buffer, options: FakeReaderOptions = {}) {
    this.#content = content;
    this.#options = options;
    this.size = Math.ceil(content.length / this.limits.alignment) * this.limits.alignment;
  }

  async read(offset: number, target: Buffer, options: WithSignal = {}): Promise<void> {
    const { alignment, maximumRequest } = this.limits;
    const sound = offset % alignment === 0 && target.length % alignment === 0 && target.length <= maximumRequest;
    if (!sound || endOf({ offset, length: target.length }) > this.size) {
      throw new RangeError(`request for ${target.length} bytes at ${offset}`);
    }
    this.#requests += 1;
    // Every third request is answered late.
    if (this.#requests % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    await this.#options.onRead?.(offset);
    options.signal?.throwIfAborted();
    target.fill(0);
    this.#content.copy(target, 0, offset, offset + target.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.onClose?.();
  }
}

/** What a server says of its allocation. */
export type FakeAllocation = (range: Extent) => Iterable<AllocationExtent>;

/** A device whose server can tell what is allocated. */
export class MappedFakeReader extends FakeReader {
  readonly #allocation: FakeAllocation;

  constructor(content: Buffer, allocation: FakeAllocation, options: FakeReaderOptions = {}) {
    super(content, options);
    this.#allocation = allocation;
  }

  async *allocation(range: Extent): AsyncGenerator<AllocationExtent> {
    yield* this.#allocation(range);
  }
}
