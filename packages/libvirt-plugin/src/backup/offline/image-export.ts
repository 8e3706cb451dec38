import type { BlockReader, NbdConnectOptions, OpenDiskOptions, WithSignal } from '@vbackup/core';
import type { JobExport, LibvirtContext } from '../context.js';
import { ExplainedReader } from '../explained-reader.js';
import type { ImageServer } from './image-tools.js';
import type { OfflineDisk } from './offline-disks.js';

/** Clients of one server: one that keeps it alive, and those that read. */
const CONNECTION_LIMIT = 17;

export interface ExportRequest extends WithSignal {
  readonly disk: OfflineDisk;
  /** The dirty bitmap that is asked for; null for none. */
  readonly bitmap: string | null;
  readonly folder: string;
}

/** The NBD meta context of a bitmap that qemu-nbd offers under its own name (QEMU's docs/interop/nbd.txt). */
export const bitmapContext = (bitmap: string): string => `qemu:dirty-bitmap:${bitmap}`;

/** The image of a domain that is off, served for as long as this is held. */
export class ImageExport implements AsyncDisposable {
  readonly disk: OfflineDisk;
  /** The client that keeps the server alive. */
  readonly client: JobExport;
  readonly #context: LibvirtContext;
  readonly #server: ImageServer;

  private constructor(context: LibvirtContext, disk: OfflineDisk, server: ImageServer, client: JobExport) {
    this.#context = context;
    this.disk = disk;
    this.#server = server;
    this.client = client;
  }

  /** @throws VBackupError VB_IMAGE_LOCKED, VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_FORMAT */
  static async open(context: LibvirtContext, { disk, bitmap, folder, signal }: ExportRequest): Promise<ImageExport> {
    const { path, format, target } = disk;
    const connections = CONNECTION_LIMIT;
    const server = await context.images.serve({ path, format, target, bitmap, folder, connections, signal });
    try {
      const contexts = bitmap === null ? [] : [bitmapContext(bitmap)];
      const client = await context.openExport(connectOptions(server, target, contexts, { signal }));
      return new ImageExport(context, disk, server, client);
    } catch (error) {
      const reason = await server.explain(error);
      await server[Symbol.asyncDispose]();
      throw reason;
    }
  }

  /** The caller closes it. */
  async openReader({ connections, signal }: OpenDiskOptions): Promise<BlockReader> {
    const options = connectOptions(this.#server, this.disk.target, [], { signal });
    try {
      const reader = await this.#context.openExport({
        ...options,
        connections: Math.min(connections, CONNECTION_LIMIT - 1),
      });
      return new ExplainedReader(reader, (error) => this.#server.explain(error));
    } catch (error) {
      throw await this.#server.explain(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.client[Symbol.asyncDispose]();
    } finally {
      await this.#server[Symbol.asyncDispose]();
    }
  }
}

const connectOptions = (
  { address }: ImageServer,
  exportName: string,
  contexts: readonly string[],
  { signal }: WithSignal,
): NbdConnectOptions => ({
  address,
  exportName,
  metaContexts: ['base:allocation', ...contexts],
  // A server that is gone does not come again.
  reconnects: 0,
  signal,
});
