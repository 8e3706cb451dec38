import { type FileHandle, open } from 'node:fs/promises';
import { VBackupError } from '../errors/index.js';
import { writeFully } from './durable.js';
import { systemCode, withIo } from './io-error.js';

/** So many bytes are written before the system is told to bring them to the disk, while more of them come. */
const WRITEBACK_LENGTH = 32 * 1024 * 1024;

/** A file that grows at its end, by vectored writes; one at a time. */
export class AppendFile implements AsyncDisposable {
  readonly path: string;
  readonly handle: FileHandle;
  #length = 0;
  /** Where what was given to the disk ends, and whether that is still under way. */
  #writtenBack = 0;
  #writeback: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.handle = handle;
  }

  /** Makes the file, or empties what a dead run left under this name. */
  static async create(path: string): Promise<AppendFile> {
    return withIo(`cannot make ${path}`, async () => new AppendFile(path, await open(path, 'w', 0o640)));
  }

  /** Makes the file. @throws VBackupError VB_TARGET_EXISTS if another run writes it, or a dead one left it */
  static async createNew(path: string): Promise<AppendFile> {
    return withIo(`cannot make ${path}`, async () => {
      try {
        return new AppendFile(path, await open(path, 'wx', 0o640));
      } catch (error) {
        if (systemCode(error) !== 'EEXIST') throw error;
        const cure = `another run writes there, or one died: wait for it, or remove ${path} if none does`;
        throw new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cause: error, cure });
      }
    });
  }

  /** Bytes that were appended. */
  get length(): number {
    return this.#length;
  }

  /** Goes on behind what someone else has appended to the handle: so many bytes in all. */
  resume(length: number): void {
    this.#length = length;
    this.#writtenBack = length;
  }

  /** Writes all buffers, in order. */
  async append(buffers: readonly Buffer[]): Promise<void> {
    if (this.#failure !== null) throw this.#failure.error;
    // Of nothing, nothing is written: that is no full disk.
    let rest: readonly Buffer[] = buffers.filter(({ length }) => length > 0);
    while (rest.length > 0) {
      const { bytesWritten } = await withIo(`cannot write ${this.path}`, () =>
        this.handle.writev([...rest], this.#length),
      );
      if (bytesWritten === 0) throw new VBackupError('VB_NO_SPACE', `cannot write ${this.path}: nothing is taken`);
      this.#length += bytesWritten;
      rest = without(rest, bytesWritten);
    }
    this.#writeBack();
  }

  /** Overwrites bytes that were written before. */
  async patch(bytes: Buffer, position: number): Promise<void> {
    await withIo(`cannot write ${this.path}`, () => writeFully(this.handle, bytes, position));
  }

  async sync(): Promise<void> {
    await this.#writeback;
    // The kernel tells of an error once: it counts, whoever was told.
    if (this.#failure !== null) throw this.#failure.error;
    await withIo(`cannot sync ${this.path}`, () => this.handle.sync());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writeback;
    await this.handle.close();
  }

  /** One at a time, and nobody waits for it: at the end there is little left to wait for. */
  #writeBack(): void {
    if (this.#writeback !== null || this.#length - this.#writtenBack < WRITEBACK_LENGTH) return;
    this.#writtenBack = this.#length;
    const work = withIo(`cannot sync ${this.path}`, () => this.handle.datasync());
    this.#writeback = work
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#writeback = null;
      });
  }
}

/** What is left of `buffers` behind the first `length` bytes. */
function without(buffers: readonly Buffer[], length: number): readonly Buffer[] {
  let skip = length;
  for (const [index, buffer] of buffers.entries()) {
    if (skip < buffer.length) return [buffer.subarray(skip), ...buffers.slice(index + 1)];
    skip -= buffer.length;
  }
  return [];
}
