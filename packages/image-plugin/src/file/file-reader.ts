import type { AllocationExtent, BlockLimits, BlockReader, Extent, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { ioError } from '@vbackup/core/storage';

const MAXIMUM_REQUEST = 4 * 1024 * 1024;
const MAXIMUM_IN_FLIGHT = 4;

/** What is used of an open file: a `FileHandle` is one. */
export interface ReadableFile {
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
}

export interface FileReaderOptions {
  readonly path: string;
  readonly file: ReadableFile;
  readonly size: number;
  /** What the file system says of the file; missing where it does not. */
  readonly allocation?: BlockReader['allocation'];
}

/** Reads a file or a block device. It closes nothing: the file belongs to its snapshot. */
export class FileReader implements BlockReader {
  readonly size: number;
  readonly limits: BlockLimits = {
    alignment: 1,
    maximumRequest: MAXIMUM_REQUEST,
    maximumInFlight: MAXIMUM_IN_FLIGHT,
  };
  readonly allocation?: (range: Extent, options?: WithSignal) => AsyncIterable<AllocationExtent>;
  readonly #file: ReadableFile;
  readonly #path: string;

  constructor({ path, file, size, allocation }: FileReaderOptions) {
    this.#path = path;
    this.#file = file;
    this.size = size;
    if (allocation !== undefined) this.allocation = allocation;
  }

  /** @throws VBackupError VB_FILE_CHANGED if the file ends too early, VB_IO with the offset that cannot be read */
  async read(offset: number, target: Buffer, options: WithSignal = {}): Promise<void> {
    for (let filled = 0; filled < target.length; ) {
      options.signal?.throwIfAborted();
      const position = offset + filled;
      const bytesRead = await this.#readOnce(position, target.subarray(filled));
      if (bytesRead === 0) {
        const message = `${this.#path} ends at byte ${position} and had ${this.size} bytes when its backup began`;
        throw new VBackupError('VB_FILE_CHANGED', message, { cure: 'stop what cuts it, and run again' });
      }
      filled += bytesRead;
    }
  }

  async #readOnce(position: number, target: Buffer): Promise<number> {
    try {
      const { bytesRead } = await this.#file.read(target, 0, target.length, position);
      return bytesRead;
    } catch (error) {
      const range = `${target.length} bytes at ${position}`;
      throw ioError(error, `cannot read ${range} of ${this.#path}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
