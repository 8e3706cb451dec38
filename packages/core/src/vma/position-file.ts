import { type FileHandle, open, stat } from 'node:fs/promises';
import { ProtocolError, UnsupportedError, VBackupError } from '../errors/index.js';

/** Bytes that are read at any place. */
export interface PositionSource {
  /** How messages call it. */
  readonly path: string;
  readonly size: number;
  /** Up to `length` bytes; fewer only at the end. @throws VBackupError VB_IO */
  readSome(position: number, length: number): Promise<Buffer>;
  /** Fills all buffers. @throws VBackupError VB_IO; ProtocolError VB_VMA_TRUNCATED_EXTENT if it ends before */
  readAll(position: number, buffers: readonly Buffer[]): Promise<void>;
}

/** A regular file that is read at any place. */
export class PositionFile implements PositionSource, AsyncDisposable {
  readonly path: string;
  /** When it was opened. */
  readonly size: number;
  readonly #handle: FileHandle;

  constructor(path: string, size: number, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
  }

  /** @throws VBackupError VB_IO; UnsupportedError VB_UNSUPPORTED for what cannot be read at any place, as a pipe */
  static async open(path: string): Promise<PositionFile> {
    try {
      // A pipe is not opened: that would wait for its writer, and closing it would cut the writer off.
      const file = (await stat(path)).isFile() ? await openFile(path) : undefined;
      if (file !== undefined) return file;
    } catch (cause) {
      throw new VBackupError('VB_IO', `cannot read ${path}`, { cause });
    }
    throw new UnsupportedError('VB_UNSUPPORTED', `${path} is no regular file, and cannot be read at any place`, {
      cure: 'copy the archive into a file, or use a command that reads it from beginning to end',
    });
  }

  async readSome(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const count = await this.#read(position + filled, [bytes.subarray(filled)]);
      if (count === 0) break;
      filled += count;
    }
    return bytes.subarray(0, filled);
  }

  async readAll(position: number, buffers: readonly Buffer[]): Promise<void> {
    let at = position;
    let left = [...buffers];
    while (left.length > 0) {
      const count = await this.#read(at, left);
      if (count === 0) throw new ProtocolError('VB_VMA_TRUNCATED_EXTENT', `${this.path} became shorter`, at);
      at += count;
      left = behind(left, count);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }

  async #read(position: number, buffers: readonly Buffer[]): Promise<number> {
    try {
      return (await this.#handle.readv([...buffers], position)).bytesRead;
    } catch (cause) {
      throw new VBackupError('VB_IO', `cannot read ${this.path} at byte ${position}`, { cause });
    }
  }
}

/** Undefined if something else has the name meanwhile. */
async function openFile(path: string): Promise<PositionFile | undefined> {
  const handle = await open(path, 'r');
  try {
    const found = await handle.stat();
    if (found.isFile()) return new PositionFile(path, found.size, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  return undefined;
}

/** What of the buffers lies behind their first `count` bytes. */
function behind(buffers: readonly Buffer[], count: number): Buffer[] {
  let skip = count;
  const rest: Buffer[] = [];
  for (const buffer of buffers) {
    if (skip < buffer.length) rest.push(buffer.subarray(skip));
    skip = Math.max(0, skip - buffer.length);
  }
  return rest;
}
