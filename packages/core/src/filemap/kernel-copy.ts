import { type Extent, endOf } from '../extent/index.js';
import { ioError } from '../storage/io-error.js';
import type { CopyParts } from './copy-parts.js';
import type { Libc } from './libc.js';
import { isExhausted, SystemCallError } from './system-call-error.js';

/** One call copies at most this many bytes, so that an abort is heard and progress is seen. */
const CALL_LENGTH = 16 * 1024 * 1024;

/**
 * Copies data extents by copy_file_range(2): the bytes do not pass through this process, and xfs, btrfs and file servers
 * may share them. On ext4 and tmpfs it fills holes: give it data extents, nothing else.
 */
export class KernelCopy {
  readonly #libc: Pick<Libc, 'copyFileRange'>;
  readonly #parts: CopyParts;

  constructor(libc: Pick<Libc, 'copyFileRange'>, parts: CopyParts) {
    this.#libc = libc;
    this.#parts = parts;
  }

  /**
   * @param onCopied - called with the bytes of every call that was done
   * @returns whether all was copied; if not, the kernel will do none of the rest
   * @throws VBackupError VB_NO_SPACE, VB_IO
   */
  async copy(extent: Extent, onCopied: (length: number) => void): Promise<boolean> {
    const { signal } = this.#parts;
    for (let offset = extent.offset; offset < endOf(extent); ) {
      signal?.throwIfAborted();
      const length = Math.min(endOf(extent) - offset, CALL_LENGTH);
      const copied = await this.#call({ offset, length });
      // 0 is the end of the source, or a file system that cannot: whoever reads finds out which.
      if (copied === null || copied === 0) return false;
      onCopied(copied);
      offset += copied;
    }
    return true;
  }

  async #call({ offset, length }: Extent): Promise<number | null> {
    const { source, target, shift } = this.#parts;
    const places = { source: source.file, sourceOffset: offset, target: target.file, targetOffset: offset + shift };
    try {
      return await this.#libc.copyFileRange({ ...places, length });
    } catch (error) {
      if (error instanceof SystemCallError && !isExhausted(error)) return null;
      throw ioError(error, `cannot copy ${source.path} at byte ${offset} to ${target.path}`);
    }
  }
}
