import { alignOutward, clip, type Extent, endOf, splitAt, totalLength } from '../../extent/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import { SlotPool } from '../../memory/slot-pool.js';
import { PAGE_LENGTH } from '../copy/geometry.js';
import { DamagedFrameError } from '../image/damaged-frame.js';
import type { Fingerprint, ImagePiece, ImageReader, ImageSummary, ImageWriter } from '../image.js';
import { shared } from '../workers/shared.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import { writePieces } from '../write-pieces.js';
import { differingPages } from './differing-pages.js';

/** So many bytes of the parent are looked at in one piece … */
const PIECE_LENGTH = 1024 * 1024;
/** … and so many pieces at once. */
const PIECE_COUNT = 2;

export interface CompareOptions extends WithSignal {
  /** Gets what differs. */
  readonly inner: ImageWriter;
  /** The same disk in the backup that the increment stands on. The caller closes it, after this. */
  readonly parent: ImageReader;
  readonly workers: WorkerPool;
  /** Told of a range of the parent that cannot be read. It counts as different, unless this throws. */
  readonly onDamage: (error: DamagedFrameError) => void;
}

/**
 * Hands on only what differs from the parent, page by page (64 KiB) and in ascending order, though comparisons end in any
 * order. Frames of the parent that lie wholly in one call are compared by their digest, in workers; only of others, and of
 * those that differ, are the old bytes read. Unknown is different. What the disk has grown by was zero.
 */
export class CompareWriter implements ImageWriter, AsyncDisposable {
  readonly #options: CompareOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #slots = new SlotPool({ count: PIECE_COUNT, length: PIECE_LENGTH });
  readonly #comparing = new Set<Promise<unknown>>();
  /** Settles when every call before has been handed on. */
  #turn: Promise<void> = Promise.resolve();

  constructor(options: CompareOptions) {
    this.#options = options;
    const { signal } = options;
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
  }

  data(offset: number, bytes: Buffer): Promise<void> {
    return this.writeAll([{ offset, length: bytes.length, bytes }]);
  }

  zero(offset: number, length: number): Promise<void> {
    return this.writeAll([{ offset, length, bytes: null }]);
  }

  /** One failure fails every later call: what follows a gap must not be handed on. */
  async writeAll(pieces: readonly ImagePiece[]): Promise<void> {
    const before = this.#turn;
    const comparison = Promise.all(pieces.map((piece) => this.#differing(piece)));
    const handed = (async () => {
      const parts = (await comparison).flat();
      await before;
      // The plan took all data for changed, and all zeros for unchanged.
      if (totalLength(parts) !== totalLength(pieces.filter(({ bytes }) => bytes !== null))) {
        this.#options.inner.dataIsLess?.();
      }
      return { written: writePieces(this.#options.inner, parts) };
    })();
    this.#turn = handed.then(() => undefined);
    this.#turn.catch(() => undefined);
    this.#comparing.add(handed);
    try {
      const { written } = await handed;
      await written;
    } finally {
      this.#comparing.delete(handed);
    }
  }

  /** Zeros were planned as data; most likely they were in the parent too. */
  keepsZeros(): boolean {
    this.#options.inner.dataIsLess?.();
    return false;
  }

  finish(options?: WithSignal): Promise<ImageSummary> {
    return this.#options.inner.finish(options);
  }

  abort(): Promise<void> {
    return this.#options.inner.abort();
  }

  /** Returns when nothing looks at the parent any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#comparing);
    this.#slots[Symbol.dispose]();
  }

  /** What differs in a range, grown to whole pages. */
  async #differing(piece: ImagePiece): Promise<readonly ImagePiece[]> {
    const different: Extent[] = [];
    const nowIn = (part: Extent): Buffer | null =>
      piece.bytes?.subarray(part.offset - piece.offset, endOf(part) - piece.offset) ?? null;
    let end = piece.offset;
    for await (const known of this.#options.parent.fingerprints(piece, { signal: this.#signal })) {
      different.push(...(await this.#against(known, nowIn(known))));
      end = endOf(known);
    }
    if (end < endOf(piece)) {
      const grown = { offset: end, length: endOf(piece) - end };
      different.push(...differingPages(grown, { now: nowIn(grown), before: null }));
    }
    const [only] = different;
    if (only === undefined) return [];
    // Of a short range mostly nothing differs, or all of it.
    if (only.length === piece.length) return [piece];
    const pages = clip(alignOutward(different, PAGE_LENGTH), piece);
    return Array.from(pages, (part) => ({ ...part, bytes: nowIn(part) }));
  }

  async #against(known: Fingerprint, now: Buffer | null): Promise<readonly Extent[]> {
    if (known.kind === 'zero') return [...differingPages(known, { now, before: null })];
    if (known.digest !== null) {
      // Frames of zeros have the kind `zero`: this one held something. That all of it is zero now is cheaper to store than
      // the old bytes are to read.
      if (now === null) return [known];
      const { algorithm, bytes } = known.digest;
      const { digest } = await this.#options.workers.encode({ algorithm, input: shared(now) });
      if (digest.equals(bytes)) return [];
    }
    return this.#againstBytes(known, now);
  }

  async #againstBytes(known: Fingerprint, now: Buffer | null): Promise<readonly Extent[]> {
    const different: Extent[] = [];
    for (const piece of splitAt([known], PIECE_LENGTH)) {
      const slot = await this.#slots.acquire({ signal: this.#signal });
      try {
        const before = slot.buffer.subarray(0, piece.length);
        await this.#options.parent.read(piece.offset, before, { signal: this.#signal });
        const at = piece.offset - known.offset;
        different.push(...differingPages(piece, { now: now?.subarray(at, at + piece.length) ?? null, before }));
      } catch (error) {
        if (!(error instanceof DamagedFrameError)) throw error;
        this.#options.onDamage(error);
        different.push(piece);
      } finally {
        slot.release();
      }
    }
    return different;
  }
}
