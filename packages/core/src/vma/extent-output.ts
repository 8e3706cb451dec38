import type { ClusterContent } from './cluster-content.js';
import { ExtentAssembly } from './extent-assembly.js';

/** Where an archive's bytes go, in order. The buffers belong to the sink until its promise settles. */
export interface VmaSink {
  write(buffers: readonly Buffer[]): Promise<void>;
}

/** Clusters become extents: one fills up while the one before it is written. */
export class ExtentOutput {
  readonly #uuid: Buffer;
  readonly #sink: VmaSink;
  #filling = new ExtentAssembly();
  #spare = new ExtentAssembly();
  #writing: Promise<void> = Promise.resolve();
  #length: number;
  #extentCount = 0;

  constructor(uuid: Buffer, sink: VmaSink, headerLength: number) {
    this.#uuid = uuid;
    this.#sink = sink;
    this.#length = headerLength;
  }

  /** Bytes of the archive so far, with those that are under way. */
  get length(): number {
    return this.#length;
  }

  get extentCount(): number {
    return this.#extentCount;
  }

  /** The write that is under way, or the last one. */
  get writing(): Promise<void> {
    return this.#writing;
  }

  /** Takes a cluster; returns whether the extent is full, and {@link flush} must come next. */
  add(place: { readonly deviceId: number; readonly clusterIndex: number }, content: ClusterContent): boolean {
    this.#filling.add(place, content);
    return this.#filling.isFull;
  }

  /** Copies what lies in the memory of others and is not being written. */
  keep(): void {
    this.#filling.keep();
  }

  /** Begins to write the extent, once the one before it is written. */
  async flush(): Promise<void> {
    await this.#writing;
    const extent = this.#filling;
    this.#filling = this.#spare;
    this.#spare = extent;
    const buffers = extent.encode(this.#uuid);
    this.#length += buffers.reduce((sum, { length }) => sum + length, 0);
    this.#extentCount += 1;
    this.#writing = this.#sink.write(buffers).finally(() => extent.clear());
    // Whoever flushes or ends next is told.
    this.#writing.catch(() => undefined);
  }

  /** Writes what is left; an archive has at least one extent. */
  async end(): Promise<void> {
    if (!this.#filling.isEmpty || this.#extentCount === 0) await this.flush();
    await this.#writing;
  }
}
