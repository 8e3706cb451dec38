import type { FileHandle } from 'node:fs/promises';
import { VBackupError } from '../errors/index.js';
import type { AllocationExtent, Extent } from '../extent/index.js';
import type { BlockReader, WithSignal } from '../hypervisor/index.js';
import { ioError } from '../storage/io-error.js';
import type { Filemap, FilemapOptions } from './filemap.js';
import { openFilemap, openMappable } from './open-filemap.js';

/** What Node's threads read at once. */
const LIMITS = { alignment: 1, maximumRequest: 16 * 1024 * 1024, maximumInFlight: 4 };

/**
 * A regular file or a block device as a device that can be read. Its size is that of the moment it was opened.
 * @throws VBackupError what {@link openFilemap} throws
 */
export async function openFileReader(path: string, options: FilemapOptions = {}): Promise<BlockReader> {
  const file = await openMappable(path);
  try {
    // Of the file that is read, whatever has the name by now.
    const map = await openFilemap(file, options);
    return new FileReader(path, { file, map });
  } catch (error) {
    await file.close();
    throw error;
  }
}

class FileReader implements BlockReader {
  readonly size: number;
  readonly limits = LIMITS;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #map: Filemap;

  constructor(path: string, { file, map }: { readonly file: FileHandle; readonly map: Filemap }) {
    this.size = map.size;
    this.#path = path;
    this.#file = file;
    this.#map = map;
  }

  async read(offset: number, target: Buffer, { signal }: WithSignal = {}): Promise<void> {
    if (offset < 0 || offset + target.length > this.size) {
      throw new VBackupError('VB_INVALID_ARGUMENT', `cannot read ${target.length} bytes at ${offset} of ${this.size}`);
    }
    let filled = 0;
    while (filled < target.length) {
      signal?.throwIfAborted();
      const at = offset + filled;
      const bytesRead = await this.#readAt(at, target.subarray(filled));
      if (bytesRead === 0) {
        const message = `${this.#path} ended at byte ${at}, while it was read; it had ${this.size} bytes`;
        throw new VBackupError('VB_FILE_CHANGED', message, {
          cure: 'stop what writes to it, or read a snapshot of it',
        });
      }
      filled += bytesRead;
    }
  }

  allocation(range: Extent, options?: WithSignal): AsyncIterable<AllocationExtent> {
    return this.#map.extents(range, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#map[Symbol.asyncDispose]();
    } finally {
      await this.#file.close();
    }
  }

  async #readAt(offset: number, target: Buffer): Promise<number> {
    try {
      return (await this.#file.read(target, 0, target.length, offset)).bytesRead;
    } catch (error) {
      throw ioError(error, `cannot read ${this.#path} at byte ${offset}`);
    }
  }
}
