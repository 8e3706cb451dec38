import { realpath, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Warning } from '../hypervisor/index.js';
import { ignoringMissing, syncDirectory, writeDurably } from './durable.js';

/** Beside an image while it is restored where it lies; what is left of one that did not end. */
const NOTE_SUFFIX = '.restoring';

/** A note beside an image, for people and for the next run: without it nothing would tell a mixture from a whole disk. */
export class RestoreNote {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Makes the note durable; it stays until {@link end}.
   * @param what - what is restored, for people
   * @returns null where nothing can be written beside the image: the restore is worth more than the note
   */
  static async begin(image: string, what: string): Promise<RestoreNote | null> {
    const text = `vbackup restores ${what} into this image, since ${new Date().toISOString()}.
If no vbackup runs, it did not end: the image is a mixture of two instants. Restore it again before it is used.
`;
    try {
      const path = await notePath(image);
      await writeDurably(path, text);
      return new RestoreNote(path);
    } catch {
      return null;
    }
  }

  async end(): Promise<void> {
    await rm(this.#path, { force: true });
    await syncDirectory(dirname(this.#path));
  }

  /** What should be said of an image before it is used; null where no restore into it was left unfinished. */
  static async warningFor(image: string): Promise<Warning | null> {
    const note = await notePath(image);
    if ((await ignoringMissing(() => realpath(note))) === null) return null;
    const message = `${image} may be a mixture of two instants: a restore into it did not end, or still runs (${note})`;
    return { code: 'VB_TARGET_MIXED', message };
  }

  /** Forgets the note of an image that another one has replaced. */
  static async forget(image: string): Promise<void> {
    await rm(await notePath(image), { force: true });
  }
}

/** A link names the image that it leads to. */
const notePath = async (image: string): Promise<string> =>
  ((await ignoringMissing(() => realpath(image))) ?? image) + NOTE_SUFFIX;
