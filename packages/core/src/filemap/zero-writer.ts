import type { FileHandle } from 'node:fs/promises';
import { type Extent, endOf, splitAt } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { writeFully } from '../storage/durable.js';
import type { Libc } from './libc.js';
import { isErrno } from './system-call-error.js';

/** One call covers at most this many bytes, so that an abort is heard. */
const LONGEST_CALL = 1024 * 1024 * 1024;
/** Zeros are written in pieces of this length where they must be written. */
const ZERO_LENGTH = 1024 * 1024;
/** Calls on a block device cover whole pages; it demands whole sectors, which are not longer. */
const PAGE_LENGTH = 4096;

/** A device promised to know the command, and does not (block/blk-lib.c). Node has no name for this number. */
const EREMOTEIO = 'E121';

let zeros: Buffer | undefined;

/** Ways to make a range read as zeros without writing them, from the cheapest. */
type Way = 'punch' | 'zero-range' | 'zero-device';

export interface ZeroWriterOptions {
  readonly file: FileHandle;
  readonly isBlockDevice: boolean;
  /** Null where there is none: then zeros are written. */
  readonly libc: Pick<Libc, 'fallocate' | 'zeroDevice'> | null;
}

/**
 * Makes ranges of an open file or block device read as zeros: by fallocate(2), by BLKZEROOUT, and where the system knows
 * neither by writing. What it refused once is not asked again.
 */
export class ZeroWriter {
  readonly #options: ZeroWriterOptions;
  readonly #refused = new Set<Way>();

  constructor(options: ZeroWriterOptions) {
    this.#options = options;
  }

  /** The range takes no blocks afterwards, where that is possible. */
  punch(range: Extent, options: WithSignal = {}): Promise<void> {
    return this.#zero(range, ['punch', 'zero-range', 'zero-device'], options);
  }

  /** The range has its blocks afterwards, so that writing to it needs no more space. */
  zero(range: Extent, options: WithSignal = {}): Promise<void> {
    return this.#zero(range, ['zero-range', 'zero-device'], options);
  }

  /** Zeros are written, byte for byte. */
  async write(range: Extent, { signal }: WithSignal = {}): Promise<void> {
    zeros ??= Buffer.alloc(ZERO_LENGTH);
    for (let at = 0; at < range.length; at += ZERO_LENGTH) {
      signal?.throwIfAborted();
      const piece = zeros.subarray(0, Math.min(ZERO_LENGTH, range.length - at));
      await writeFully(this.#options.file, piece, range.offset + at);
    }
  }

  async #zero(range: Extent, ways: readonly Way[], options: WithSignal): Promise<void> {
    const whole = this.#options.isBlockDevice ? wholePages(range) : range;
    if (whole === null) return this.write(range, options);
    for (const piece of splitAt([whole], LONGEST_CALL)) {
      options.signal?.throwIfAborted();
      await this.#zeroPiece(piece, ways, options);
    }
    for (const edge of edges(range, whole)) await this.write(edge, options);
  }

  async #zeroPiece(piece: Extent, ways: readonly Way[], options: WithSignal): Promise<void> {
    for (const way of ways) {
      if (this.#refused.has(way)) continue;
      try {
        if (await this.#try(way, piece)) return;
      } catch (error) {
        if (!isErrno(error, 'EOPNOTSUPP', 'ENOTTY', 'ENOSYS', 'EINVAL', EREMOTEIO)) throw error;
      }
      this.#refused.add(way);
    }
    await this.write(piece, options);
  }

  async #try(way: Way, piece: Extent): Promise<boolean> {
    const { file, libc, isBlockDevice } = this.#options;
    if (libc === null || (way === 'zero-device' && !isBlockDevice)) return false;
    if (way === 'punch') await libc.fallocate(file, 'punch', piece);
    else if (way === 'zero-range') await libc.fallocate(file, 'zero-keep-size', piece);
    else await libc.zeroDevice(file, piece);
    return true;
  }
}

/** The whole pages inside `range`; null where there are none. */
function wholePages(range: Extent): Extent | null {
  const offset = Math.ceil(range.offset / PAGE_LENGTH) * PAGE_LENGTH;
  const end = Math.floor(endOf(range) / PAGE_LENGTH) * PAGE_LENGTH;
  return end > offset ? { offset, length: end - offset } : null;
}

/** What `range` has before and behind `whole`. */
function edges(range: Extent, whole: Extent): readonly Extent[] {
  const before = { offset: range.offset, length: whole.offset - range.offset };
  const behind = { offset: endOf(whole), length: endOf(range) - endOf(whole) };
  return [before, behind].filter(({ length }) => length > 0);
}
