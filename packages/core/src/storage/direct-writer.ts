import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isPageAligned, PAGE_ALIGNMENT } from '../memory/spare-memory.js';
import { systemCode } from './io-error.js';

/** What file systems say to a direct write that they cannot do (open(2), "O_DIRECT"). */
const REFUSALS: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP']);

/**
 * Writes whole pages around the page cache. What is written once and not read again only takes memory there, drives out what
 * others need, and makes the sync at the end wait for all of it.
 */
export class DirectWriter implements AsyncDisposable {
  readonly #file: FileHandle;
  #refused = false;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** @returns null where the file system or the system cannot do that */
  static async open(file: FileHandle): Promise<DirectWriter | null> {
    try {
      return new DirectWriter(await open(`/proc/self/fd/${file.fd}`, constants.O_WRONLY + constants.O_DIRECT));
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      return null;
    }
  }

  /**
   * Writes as much of the beginning of `bytes` as whole pages are, if offset and memory allow it.
   * @returns how many bytes were written; the caller writes the rest otherwise
   */
  async write(bytes: Buffer, offset: number): Promise<number> {
    if (this.#refused || offset % PAGE_ALIGNMENT !== 0 || !isPageAligned(bytes)) return 0;
    const end = bytes.length - (bytes.length % PAGE_ALIGNMENT);
    let written = 0;
    while (written < end && written % PAGE_ALIGNMENT === 0) {
      const count = await this.#try(bytes.subarray(written, end), offset + written);
      if (count === 0) break;
      written += count;
    }
    return written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #try(bytes: Buffer, offset: number): Promise<number> {
    try {
      return (await this.#file.write(bytes, 0, bytes.length, offset)).bytesWritten;
    } catch (error) {
      const code = systemCode(error);
      if (code === undefined || !REFUSALS.has(code)) throw error;
      this.#refused = true;
      return 0;
    }
  }
}
