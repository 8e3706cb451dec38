import type {
  AllocationExtent,
  BlockLimits,
  BlockReader,
  Extent,
  NbdConnectOptions,
  OpenDiskOptions,
  ReadPiece,
  WithSignal,
} from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { NbdClient } from '@vbackup/core/nbd/device';

/** A server may take one client only, and say nothing to a second one. */
const FURTHER_HANDSHAKE_TIMEOUT_MS = 10_000;

/**
 * An NBD export that is held open for as long as a snapshot lasts, so that the server keeps it; also where the server
 * ends with its last client, or takes no second one.
 */
export class HeldExport implements AsyncDisposable {
  readonly client: NbdClient;
  readonly #options: NbdConnectOptions;
  readonly #explain: Explain;

  private constructor(client: NbdClient, options: NbdConnectOptions, explain: Explain) {
    this.client = client;
    this.#options = options;
    this.#explain = explain;
  }

  /**
   * @param explain - turns what a read failed with into what it really was
   * @throws VBackupError what {@link NbdClient.connect} throws
   */
  static async open(options: NbdConnectOptions, explain: Explain = asItIs): Promise<HeldExport> {
    return new HeldExport(await NbdClient.connect({ ...options, connections: 1 }), options, explain);
  }

  /** Connections of its own where the server allows several; else the one that is open. */
  async openReader({ connections, signal }: OpenDiskOptions): Promise<BlockReader> {
    const { client } = this;
    const borrowed = new HeldReader(client, { explain: this.#explain, owned: false });
    if (connections <= 1 || !client.capabilities.multiConn) return borrowed;
    const further = await this.#connectFurther({ connections, signal });
    if (further === undefined) return borrowed;
    if (further.size === client.size && further.limits.alignment === client.limits.alignment) {
      return new HeldReader(further, { explain: this.#explain, owned: true });
    }
    await further.close();
    throw new VBackupError('VB_NBD_EXPORT_CHANGED', `the export had ${client.size} bytes and has ${further.size} now`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
  }

  async #connectFurther({ connections, signal }: OpenDiskOptions): Promise<NbdClient | undefined> {
    try {
      return await NbdClient.connect({
        ...this.#options,
        connections,
        metaContexts: ['base:allocation'],
        handshakeTimeoutMs: FURTHER_HANDSHAKE_TIMEOUT_MS,
        signal,
      });
    } catch (error) {
      const mistrusted = error instanceof VBackupError && error.code === 'VB_NBD_CERTIFICATE';
      if (signal?.aborted === true || mistrusted) throw error;
      return undefined;
    }
  }
}

interface Explained {
  /** What a failure of a read really was. */
  readonly explain: Explain;
  /** The reader closes the client. */
  readonly owned: boolean;
}

type Explain = (error: unknown) => Promise<unknown>;

/** A client as a reader; one that is borrowed stays open for its owner. */
class HeldReader implements BlockReader {
  readonly size: number;
  readonly limits: BlockLimits;
  readonly allocation?: (range: Extent, options?: WithSignal) => AsyncIterable<AllocationExtent>;
  readonly #client: NbdClient;
  readonly #options: Explained;

  constructor(client: NbdClient, options: Explained) {
    this.#client = client;
    this.#options = options;
    this.size = client.size;
    this.limits = client.limits;
    const { allocation } = client;
    if (allocation !== undefined) this.allocation = (range, use) => this.#explained(allocation(range, use));
  }

  async read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    try {
      await this.#client.read(offset, target, options);
    } catch (error) {
      throw await this.#options.explain(error);
    }
  }

  async readAll(pieces: readonly ReadPiece[], options?: WithSignal): Promise<void> {
    try {
      await this.#client.readAll(pieces, options);
    } catch (error) {
      throw await this.#options.explain(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#options.owned) await this.#client.close();
  }

  async *#explained(extents: AsyncIterable<AllocationExtent>): AsyncGenerator<AllocationExtent> {
    try {
      yield* extents;
    } catch (error) {
      throw await this.#options.explain(error);
    }
  }
}

const asItIs: Explain = (error) => Promise.resolve(error);
