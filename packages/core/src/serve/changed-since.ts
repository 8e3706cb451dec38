import { changedByIndex } from '../backup/diff/diff-images.js';
import type { ImageReader } from '../backup/image.js';
import type { Extent } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { ChangedSince, DirtyExtent } from './served-disk.js';

/** Other points in time that are open at once: each holds the files of its chain. */
const OPEN_LIMIT = 4;

/** One of the other points in time of a disk. */
export interface OtherBackup {
  readonly id: string;
  open(): Promise<ImageReader>;
}

interface Opened {
  readonly image: Promise<ImageReader>;
  users: number;
}

/**
 * What changed since each of the other backups of a disk, told by the indexes alone. Each is opened when it is first asked
 * for; of those that nobody uses, the ones that were used last stay open.
 */
export class OtherBackups implements AsyncDisposable {
  readonly changedSince: readonly ChangedSince[];
  readonly #image: ImageReader;
  /** In the order of their last use. */
  readonly #opened = new Map<OtherBackup, Opened>();

  constructor(image: ImageReader, others: readonly OtherBackup[]) {
    this.#image = image;
    this.changedSince = others.map((other) => ({
      id: other.id,
      extents: (range, options) => this.#extents(other, range, options),
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { image } of this.#opened.values()) await close(image);
    this.#opened.clear();
  }

  async *#extents(other: OtherBackup, range: Extent, options?: WithSignal): AsyncGenerator<DirtyExtent> {
    const opened = this.#opened.get(other) ?? this.#open(other);
    this.#opened.delete(other);
    this.#opened.set(other, opened);
    opened.users += 1;
    try {
      yield* changedByIndex({ from: await opened.image, to: this.#image, range, signal: options?.signal });
    } finally {
      opened.users -= 1;
      await this.#closeIdle();
    }
  }

  #open(other: OtherBackup): Opened {
    const opened = { image: other.open(), users: 0 };
    // What could not be opened is tried again by who asks next.
    opened.image.catch(() => this.#opened.get(other) === opened && this.#opened.delete(other));
    return opened;
  }

  async #closeIdle(): Promise<void> {
    for (const [other, { image, users }] of this.#opened) {
      if (this.#opened.size <= OPEN_LIMIT) return;
      if (users > 0) continue;
      this.#opened.delete(other);
      await close(image);
    }
  }
}

/** One that could not be opened was told to who asked for it. */
async function close(image: Promise<ImageReader>): Promise<void> {
  const opened = await image.catch(() => undefined);
  await opened?.[Symbol.asyncDispose]();
}
