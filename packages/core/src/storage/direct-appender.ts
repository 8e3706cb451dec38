import { copyInto } from '../memory/shared-bytes.js';
import { type Slot, SlotPool } from '../memory/slot-pool.js';
import type { AppendFile } from './append-file.js';
import { DirectWriter } from './direct-writer.js';
import { writeFully } from './durable.js';
import { withIo } from './io-error.js';

/** Written at once, on a place of the file that is a multiple of it: one is filled while the other is written. */
const BLOCK_LENGTH = 2 * 1024 * 1024;
const BLOCKS = 2;

/**
 * Is shown every block, in order, while it is written: the bytes stay as they are until the promise settles, which never fails.
 */
export type ShowBlock = (block: Buffer) => Promise<void>;

/**
 * Appends to a file around the page cache: what comes in pieces of any length is collected in blocks of whole pages. An error
 * of a block is thrown by a later call, at the latest by {@link sync}.
 */
export class DirectAppender implements AsyncDisposable {
  readonly #file: AppendFile;
  readonly #direct: DirectWriter | null;
  readonly #show: ShowBlock | undefined;
  readonly #blocks: SlotPool;
  #filling: Slot | null = null;
  #filled = 0;
  /** Where the block that is being filled begins in the file. */
  #position = 0;
  #writing: Promise<void> = Promise.resolve();
  #showing: Promise<void> = Promise.resolve();

  private constructor(file: AppendFile, direct: DirectWriter | null, show?: ShowBlock) {
    this.#file = file;
    this.#direct = direct;
    this.#show = show;
    // Whoever looks may be slower than the disk.
    this.#blocks = new SlotPool({ count: show === undefined ? BLOCKS : BLOCKS + 1, length: BLOCK_LENGTH });
  }

  /**
   * @param file - still empty; stays open when this one is closed
   * @returns null where the file system or the system cannot do that
   */
  static async open(file: AppendFile): Promise<DirectAppender | null> {
    const direct = await DirectWriter.open(file.handle);
    return direct === null ? null : new DirectAppender(file, direct);
  }

  /** As {@link open}, and where that cannot be done, blocks are written through the page cache: somebody wants to see them. */
  static async openShowing(file: AppendFile, show: ShowBlock): Promise<DirectAppender> {
    return new DirectAppender(file, await DirectWriter.open(file.handle), show);
  }

  /** Bytes that were appended. */
  get length(): number {
    return this.#position + this.#filled;
  }

  /** Takes all buffers, in order; they belong to the caller again when the promise settles. */
  async append(buffers: readonly Buffer[]): Promise<void> {
    for (const bytes of buffers) {
      for (let at = 0; at < bytes.length; ) {
        this.#filling ??= await this.#blocks.acquire();
        const count = copyInto(this.#filling.buffer, this.#filled, bytes, at);
        at += count;
        this.#filled += count;
        if (this.#filled === BLOCK_LENGTH) await this.#flush();
      }
    }
  }

  /** Everything that was appended is in the file; what is appended later no longer begins on a page. */
  async flush(): Promise<void> {
    await this.#flush();
    await Promise.all([this.#writing, this.#showing]);
  }

  /** Everything that was appended is on the disk. */
  async sync(): Promise<void> {
    await this.flush();
    await this.#file.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([this.#writing, this.#showing]);
    this.#filling?.release();
    this.#blocks[Symbol.dispose]();
    await this.#direct?.[Symbol.asyncDispose]();
  }

  /** Begins to write what was collected. @throws what the write before it failed with */
  async #flush(): Promise<void> {
    await this.#writing;
    const block = this.#filling;
    if (block === null) return;
    const bytes = block.buffer.subarray(0, this.#filled);
    const position = this.#position;
    this.#position += this.#filled;
    this.#filling = null;
    this.#filled = 0;
    const writing = this.#write(bytes, position);
    const shown = this.#show?.(bytes);
    this.#writing = shown === undefined ? writing.finally(() => block.release()) : writing;
    // It is looked at when the next one starts, and at the end.
    this.#writing.catch(() => undefined);
    if (shown !== undefined)
      this.#showing = Promise.allSettled([this.#showing, shown, writing]).then(() => block.release());
  }

  async #write(bytes: Buffer, position: number): Promise<void> {
    const direct = this.#direct;
    if (direct === null) return this.#file.append([bytes]);
    await withIo(`cannot write ${this.#file.path}`, async () => {
      const written = await direct.write(bytes, position);
      // The last block rarely ends with a page.
      await writeFully(this.#file.handle, bytes.subarray(written), position + written);
    });
  }
}
