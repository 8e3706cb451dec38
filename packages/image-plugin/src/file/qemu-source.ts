import type { BlockReader, DirtyBitmap, ImageInfo, Journal, OpenDiskOptions, Warning, WithSignal } from '@vbackup/core';
import { imageInfo, newQemuFolder, QemuNbd } from '@vbackup/core/qemu';
import { bitmapWarning } from '../decide-changes.js';
import { readDirty, type SeenBitmap } from '../dirty-bitmap.js';
import { HeldExport } from '../held-export.js';
import type { ImageSource } from '../image-source.js';
import type { ImageFormat } from './image-header.js';
import { journalEntry } from './journal.js';

/** Clients of one server: one that keeps it alive, and those that read. */
const CONNECTION_LIMIT = 17;

export interface QemuSourceOptions extends WithSignal {
  readonly path: string;
  /** See {@link SeenBitmap.file}. */
  readonly file: string | null;
  readonly format: Exclude<ImageFormat, 'raw'>;
  /** The dirty bitmap that the user named. */
  readonly bitmap: string | null;
  readonly journal: Journal;
  readonly warn: (warning: Warning) => void;
}

interface UsableBitmap extends DirtyBitmap {
  readonly clusterLength: number | null;
}

interface Parts {
  readonly server: QemuNbd;
  readonly held: HeldExport;
  readonly bitmap: SeenBitmap | null;
}

/** The disk inside of an image, as a `qemu-nbd` of our own reads it. While that runs, QEMU lets nobody write the image. */
export class QemuSource implements ImageSource {
  readonly size: number;
  readonly bitmap: SeenBitmap | null;
  readonly #server: QemuNbd;
  readonly #held: HeldExport;

  private constructor({ server, held, bitmap }: Parts) {
    this.#server = server;
    this.#held = held;
    this.size = held.client.size;
    this.bitmap = bitmap;
  }

  /** @throws VBackupError VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_LOCKED, VB_IMAGE_FORMAT */
  static async open(options: QemuSourceOptions): Promise<QemuSource> {
    const { path, format, journal, signal } = options;
    const bitmap = await usableBitmap(options);
    const folder = newQemuFolder();
    await journal.record(journalEntry(folder));
    const server = await QemuNbd.start({
      path,
      format,
      folder,
      readOnly: true,
      bitmap: bitmap?.name,
      connections: CONNECTION_LIMIT,
      signal,
    });
    try {
      return new QemuSource(await connect(server, bitmap, options));
    } catch (error) {
      const cause = await server.explain(error);
      await server[Symbol.asyncDispose]();
      throw cause;
    }
  }

  async open({ connections, signal }: OpenDiskOptions): Promise<BlockReader> {
    return this.#held.openReader({ connections: Math.min(connections, CONNECTION_LIMIT - 1), signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#held[Symbol.asyncDispose]();
    } finally {
      await this.#server[Symbol.asyncDispose]();
    }
  }
}

async function connect(
  server: QemuNbd,
  bitmap: UsableBitmap | null,
  { file, signal }: QemuSourceOptions,
): Promise<Parts> {
  const context = bitmap === null ? null : `qemu:dirty-bitmap:${bitmap.name}`;
  const options = {
    address: server.address,
    exportName: '',
    metaContexts: ['base:allocation', ...(context === null ? [] : [context])],
    // It is gone for good when its last client is.
    reconnects: 0,
    signal,
  };
  const held = await HeldExport.open(options, (error) => server.explain(error));
  try {
    if (bitmap === null || context === null) return { server, held, bitmap: null };
    const { name, granularity, clusterLength } = bitmap;
    const dirty = await readDirty(held.client, context, { signal });
    return { server, held, bitmap: { name, granularity, clusterLength, file, dirty } };
  } catch (error) {
    await held[Symbol.asyncDispose]();
    throw error;
  }
}

/** The bitmap that the user named, if it has recorded all writes; else null, and a warning says why. */
async function usableBitmap(options: QemuSourceOptions): Promise<UsableBitmap | null> {
  const { path, format, bitmap: name, warn, signal } = options;
  if (name === null) return null;
  const info = await imageInfo(path, { format, signal });
  const bitmap = info.bitmaps.find((candidate) => candidate.name === name);
  const fault = bitmap === undefined ? absence(info) : faultOf(bitmap, info);
  if (bitmap !== undefined && fault === null) return { ...bitmap, clusterLength: info.clusterSize };
  if (fault !== null) warn(bitmapWarning(name, fault));
  return null;
}

function absence({ bitmaps }: ImageInfo): string {
  const names = bitmaps.map(({ name }) => name).join(', ');
  return `the image has no such bitmap; it has ${names === '' ? 'none' : names}`;
}

function faultOf(bitmap: DirtyBitmap, info: ImageInfo): string | null {
  if (bitmap.inUse) return 'it is marked in use: QEMU ended without saving it, and it may have missed writes';
  if (!bitmap.auto) return 'it is disabled, and records nothing';
  const other = info.backingFile ?? info.dataFile;
  return other === null ? null : `the disk lies in ${other} as well, and what happens to that is not noted`;
}
