import { VBackupError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { Turnstile } from '../memory/turnstile.js';
import { DeviceClusters, type WrittenDevice } from './device-clusters.js';
import { ExtentOutput, type VmaSink } from './extent-output.js';
import { encodeHeader } from './header-encode.js';
import { PendingMemory } from './pending-clusters.js';
import { type NewVmaArchive, numberDevices } from './specification.js';

export interface VmaWriterOptions extends WithSignal {
  /** Clusters that may be incomplete at a time, of all devices together. Default 256, which are 16 MiB. */
  readonly pendingClusters?: number | undefined;
}

/** What an archive came to. */
export interface WrittenArchive {
  /** Bytes. */
  readonly length: number;
  readonly extentCount: number;
  readonly devices: readonly WrittenDevice[];
}

/**
 * One device of an archive that is being written. Calls may be under way on several devices, and several on one; they
 * take effect in the order of the calls. An error leaves the archive unusable: it can then only be thrown away.
 */
export interface VmaDeviceWriter {
  readonly name: string;
  /** The bytes that have to be given, or stay zeros. */
  readonly size: number;
  /**
   * Bytes at any place that was not given before; of `vmstate`, at its end. They belong to the writer until the promise
   * settles, which is soon: what waits for its extent is copied. Pieces of 4 MiB are hardly copied at all.
   * @throws VBackupError VB_VMA_WRITE
   */
  write(offset: number, bytes: Buffer): Promise<void>;
  /** As {@link write} of zeros, at no cost. Zeros that are never told come at the end of the archive. */
  zero(offset: number, length: number): Promise<void>;
  /** Writes what is incomplete; what was never given is zeros. */
  finish(): Promise<WrittenDevice>;
}

/**
 * Writes an archive that Proxmox accepts: every cluster once, 58 in an extent, zero blocks left out, in the order in which
 * clusters are complete. Memory: two extents and the incomplete clusters.
 */
export class VmaWriter {
  readonly #devices: ReadonlyMap<string, OpenDevice>;
  readonly #output: ExtentOutput;
  readonly #turns = new Turnstile(1);
  readonly #signal: AbortSignal | undefined;
  #failure: { readonly error: unknown } | null = null;
  #closed = false;

  private constructor(archive: NewVmaArchive, output: Output, options: VmaWriterOptions) {
    const memory = new PendingMemory(options.pendingClusters);
    this.#output = new ExtentOutput(Buffer.from(archive.uuid), this.#stoppable(output.sink), output.headerLength);
    this.#signal = options.signal;
    const turn: Turn = (work) => this.#turn(work);
    const sizes = new Map(archive.devices.map(({ name, size }) => [name, size]));
    this.#devices = new Map(
      numberDevices(archive.devices).map((device) => {
        const length = sizes.get(device.name) ?? device.size;
        const clusters = new DeviceClusters({ device, length, output: this.#output, memory });
        return [device.name, new OpenDevice(clusters, length, turn)];
      }),
    );
  }

  /**
   * Writes the header: configurations and devices are known from here on.
   * @throws VBackupError VB_VMA_LIMIT, VB_VMA_UNSAFE_NAME, VB_VMA_DUPLICATE_NAME, VB_INVALID_ARGUMENT
   */
  static async open(archive: NewVmaArchive, sink: VmaSink, options: VmaWriterOptions = {}): Promise<VmaWriter> {
    const header = encodeHeader(archive);
    options.signal?.throwIfAborted();
    const writer = new VmaWriter(archive, { sink, headerLength: header.length }, options);
    await sink.write([header]);
    return writer;
  }

  /** The devices, in the order of their ids. */
  get devices(): readonly VmaDeviceWriter[] {
    return [...this.#devices.values()];
  }

  /** @throws VBackupError VB_VMA_WRITE for a name that the header does not have */
  device(name: string): VmaDeviceWriter {
    const device = this.#devices.get(name);
    if (device !== undefined) return device;
    const cure = 'name every device when the archive is opened: the header comes first';
    throw new VBackupError('VB_VMA_WRITE', `the archive has no device ${JSON.stringify(name)}`, { cure });
  }

  /**
   * Finishes what is not, and writes the last extent. Then the archive is complete; making it durable is the sink's.
   * @throws the error of an earlier call: an archive that lacks something is never completed
   */
  async close(): Promise<WrittenArchive> {
    const devices: WrittenDevice[] = [];
    for (const device of this.#devices.values()) devices.push(await device.finish());
    await this.#turn(() => this.#output.end());
    this.#closed = true;
    return { length: this.#output.length, extentCount: this.#output.extentCount, devices };
  }

  /** From here on nothing is taken, and {@link close} throws `reason`. */
  abort(reason: Error): void {
    this.#failure ??= { error: reason };
  }

  /** Runs `work` alone, and returns when the caller's memory is not needed any more. */
  async #turn(work: () => Promise<void>): Promise<void> {
    let needed: Promise<void> | null = null;
    {
      using _turn = await this.#turns.enter();
      this.#check();
      const before = this.#output.extentCount;
      try {
        await work();
      } catch (error) {
        this.#failure ??= { error };
        // The caller's memory may be in a write that is under way.
        await this.#output.writing.catch(() => undefined);
        throw error;
      }
      this.#output.keep();
      if (this.#output.extentCount > before) needed = this.#output.writing;
    }
    await needed;
  }

  /** One call may have 256 TiB of zeros to write: it stops between two extents. */
  #stoppable(sink: VmaSink): VmaSink {
    return {
      write: async (buffers) => {
        this.#check();
        await sink.write(buffers);
      },
    };
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure.error;
    this.#signal?.throwIfAborted();
    if (this.#closed) throw new VBackupError('VB_VMA_WRITE', 'the archive is closed');
  }
}

interface Output {
  readonly sink: VmaSink;
  readonly headerLength: number;
}

type Turn = (work: () => Promise<void>) => Promise<void>;

class OpenDevice implements VmaDeviceWriter {
  readonly name: string;
  readonly size: number;
  readonly #clusters: DeviceClusters;
  readonly #turn: Turn;
  #finished = false;
  #finishing: Promise<void> | undefined;

  constructor(clusters: DeviceClusters, size: number, turn: Turn) {
    this.name = clusters.device.name;
    this.size = size;
    this.#clusters = clusters;
    this.#turn = turn;
  }

  async write(offset: number, bytes: Buffer): Promise<void> {
    await this.#put(offset, bytes.length, bytes);
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#put(offset, length, null);
  }

  async finish(): Promise<WrittenDevice> {
    this.#finishing ??= this.#turn(async () => {
      // From here on, and not when it is written: who comes next may not have waited.
      this.#finished = true;
      await this.#clusters.end();
    });
    await this.#finishing;
    return this.#clusters.written();
  }

  async #put(offset: number, length: number, bytes: Buffer | null): Promise<void> {
    await this.#turn(async () => {
      if (this.#finished) throw new VBackupError('VB_VMA_WRITE', `device ${this.name} is finished`);
      await this.#clusters.put(offset, length, bytes);
    });
  }
}
