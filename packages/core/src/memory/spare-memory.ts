/** Memory pages of every machine that Node runs on are a multiple of it; so are the blocks of direct writes. */
export const PAGE_ALIGNMENT = 4096;
/** A page of WebAssembly ("WebAssembly Core Specification", 4.2.8). */
const WASM_PAGE_LENGTH = 64 * 1024;

/** Pools are made of whole units, so that one pool's memory fits the next. */
const UNIT_LENGTH = 1024 * 1024;
/** Memory that is kept for the next pool, at most. */
const SPARE_LENGTH = 128 * 1024 * 1024;

/**
 * Memory of pools that are done, for pools to come: shared memory cannot be freed by hand, and what the pools of every disk
 * leave behind would grow to hundreds of MiB before the collector comes.
 */
class SpareMemory {
  #spare: SharedArrayBuffer[] = [];

  /** @returns at least `length` bytes; their content is whatever was there */
  take(length: number): SharedArrayBuffer {
    const [best] = this.#spare
      .filter(({ byteLength }) => byteLength >= length)
      .toSorted((left, right) => left.byteLength - right.byteLength);
    if (best === undefined) return alignedMemory(Math.ceil(length / UNIT_LENGTH) * UNIT_LENGTH);
    this.#spare = this.#spare.filter((memory) => memory !== best);
    return best;
  }

  /** Nobody may use `memory` any more. */
  give(memory: SharedArrayBuffer): void {
    const held = this.#spare.reduce((sum, { byteLength }) => sum + byteLength, memory.byteLength);
    if (held <= SPARE_LENGTH) this.#spare.push(memory);
  }
}

const aligned = new WeakSet<ArrayBufferLike>();

/** Memory of WebAssembly begins on a page, which nothing else that Node hands out does. */
function alignedMemory(length: number): SharedArrayBuffer {
  const pages = length / WASM_PAGE_LENGTH;
  try {
    const buffer = wasmMemory({ initial: pages, maximum: pages, shared: true });
    if (buffer instanceof SharedArrayBuffer) {
      aligned.add(buffer);
      return buffer;
    }
  } catch (error) {
    // It reserves some GiB of addresses, of which a process may be allowed fewer (ulimit -v).
    if (!(error instanceof RangeError)) throw error;
  }
  return new SharedArrayBuffer(length);
}

/** `new WebAssembly.Memory(shape).buffer`, for which Node has no types; undefined where Node was started without it. */
function wasmMemory(shape: { readonly initial: number; readonly maximum: number; readonly shared: true }): unknown {
  const assembly: unknown = Reflect.get(globalThis, 'WebAssembly');
  if (typeof assembly !== 'object' || assembly === null) return undefined;
  const Memory: unknown = Reflect.get(assembly, 'Memory');
  if (typeof Memory !== 'function') return undefined;
  const made: unknown = Reflect.construct(Memory, [shape]);
  return typeof made === 'object' && made !== null ? Reflect.get(made, 'buffer') : undefined;
}

/** Whether these bytes begin on a page of memory, as far as is known. */
export const isPageAligned = (bytes: Buffer): boolean =>
  aligned.has(bytes.buffer) && bytes.byteOffset % PAGE_ALIGNMENT === 0;

/** Of this process. */
export const spareMemory = new SpareMemory();
