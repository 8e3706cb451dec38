import type { FileHandle } from 'node:fs/promises';
import type { BlockReader, Filemap, Warning, WithSignal } from '@vbackup/core';
import { openFilemap } from '@vbackup/core/filemap';
import type { ImageSource } from '../image-source.js';
import { FileReader } from './file-reader.js';

export interface RawSourceOptions extends WithSignal {
  readonly path: string;
  readonly handle: FileHandle;
  readonly warn: (warning: Warning) => void;
}

/** What the file system does not know is found by reading, which the backup does anyway. */
const USELESS_METHODS: readonly string[] = ['scan', 'none'];

/** The bytes of a file or a block device as they are. */
export class RawSource implements ImageSource {
  readonly size: number;
  readonly bitmap = null;
  readonly #options: RawSourceOptions;
  readonly #filemap: Filemap;

  private constructor(options: RawSourceOptions, filemap: Filemap) {
    this.#options = options;
    this.#filemap = filemap;
    this.size = filemap.size;
  }

  /** @throws VBackupError VB_FILE_TYPE, VB_IO, VB_NUMBER_TOO_LARGE */
  static async open(options: RawSourceOptions): Promise<RawSource> {
    const onWarning = (warning: Warning): void => {
      // On ZFS the map is not used.
      if (warning.code !== 'VB_FILE_ZFS') options.warn(warning);
    };
    return new RawSource(options, await openFilemap(options.handle, { onWarning, signal: options.signal }));
  }

  async open(): Promise<BlockReader> {
    const { path, handle } = this.#options;
    return new FileReader({ path, file: handle, size: this.size, allocation: this.#allocation() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#filemap[Symbol.asyncDispose]();
  }

  #allocation(): BlockReader['allocation'] {
    const filemap = this.#filemap;
    if (filemap.fileSystem === 'zfs' || USELESS_METHODS.includes(filemap.method)) return undefined;
    return (range, options) => filemap.extents(range, options);
  }
}
