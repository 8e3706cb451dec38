import type { BlockReader, NbdConnectOptions, OpenDiskOptions, Warning, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { inspectExport } from '@vbackup/core/nbd/device';
import { bitmapWarning } from '../decide-changes.js';
import { readDirty, type SeenBitmap } from '../dirty-bitmap.js';
import { HeldExport } from '../held-export.js';
import type { ImageSource } from '../image-source.js';

const INSPECT_TIMEOUT_MS = 10_000;
/** The last bytes of the export, where only reading shows that it still has them. */
const LAST_LENGTH = 4096;

export interface ExportSourceOptions extends WithSignal {
  readonly connect: NbdConnectOptions;
  /** The meta context that the user named. */
  readonly dirtyBitmap: string | null;
  readonly warn: (warning: Warning) => void;
}

/** An export of a server that is not ours. */
export class ExportSource implements ImageSource {
  readonly size: number;
  readonly bitmap: SeenBitmap | null;
  readonly #held: HeldExport;
  readonly #connect: NbdConnectOptions;

  private constructor(held: HeldExport, bitmap: SeenBitmap | null, connect: NbdConnectOptions) {
    this.#held = held;
    this.#connect = connect;
    this.size = held.client.size;
    this.bitmap = bitmap;
  }

  /** @throws VBackupError what `NbdClient.connect` throws */
  static async open({ connect, dirtyBitmap, warn, signal }: ExportSourceOptions): Promise<ExportSource> {
    const contexts = dirtyBitmap === null ? [] : [dirtyBitmap];
    const held = await HeldExport.open({ ...connect, metaContexts: ['base:allocation', ...contexts], signal });
    try {
      return new ExportSource(held, await bitmapOf(held, { dirtyBitmap, warn, signal }), connect);
    } catch (error) {
      await held[Symbol.asyncDispose]();
      throw error;
    }
  }

  open(options: OpenDiskOptions): Promise<BlockReader> {
    return this.#held.openReader(options);
  }

  /** @throws VBackupError VB_NBD_EXPORT_CHANGED, and what a read throws */
  async confirm({ signal }: WithSignal = {}): Promise<void> {
    const size = await this.#sizeNow(signal);
    if (size === this.size) return;
    const message = `the export had ${this.size} bytes when its backup began, and has ${size} now`;
    throw new VBackupError('VB_NBD_EXPORT_CHANGED', message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held[Symbol.asyncDispose]();
  }

  /** A connection keeps the size that it began with. A server that takes one client only is asked for its last bytes. */
  async #sizeNow(signal: AbortSignal | undefined): Promise<number> {
    const { client } = this.#held;
    if (client.capabilities.multiConn) {
      try {
        return (await inspectExport({ ...this.#connect, handshakeTimeoutMs: INSPECT_TIMEOUT_MS, signal })).size;
      } catch (error) {
        if (signal?.aborted === true || !(error instanceof VBackupError)) throw error;
        // It may tell nothing about an export, or be full: reading is what is left.
      }
    }
    const { alignment } = client.limits;
    const length = Math.min(this.size, Math.ceil(LAST_LENGTH / alignment) * alignment);
    await client.read(this.size - length, Buffer.alloc(length), { signal });
    return this.size;
  }
}

async function bitmapOf(
  { client }: HeldExport,
  { dirtyBitmap: name, warn, signal }: Omit<ExportSourceOptions, 'connect'>,
): Promise<SeenBitmap | null> {
  if (name === null) return null;
  if (!client.metaContexts.includes(name)) {
    warn(bitmapWarning(name, 'the server does not offer this meta context'));
    return null;
  }
  const dirty = await readDirty(client, name, { signal });
  return { name, granularity: null, clusterLength: null, file: null, dirty };
}
