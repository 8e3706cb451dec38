import { type FileHandle, open } from 'node:fs/promises';
import { ByteQueue } from '../bytes/index.js';
import { abortError, ProtocolError, VBackupError } from '../errors/index.js';
import { type Extent, endOf } from '../extent/index.js';
import type { ReadStreamOptions } from './file.js';
import { Lz4FrameDecoder } from './lz4-decode.js';
import { scanSparseStream } from './scan.js';
import type { IndexFrame, SparseStreamIndex } from './stream-index.js';

const CHUNK_LENGTH = 1024 * 1024;

/** A part of the disk, decoded. */
export interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** A SparseStream file that is read at random. Whoever opens it closes it. */
export class SparseStreamFile implements AsyncDisposable {
  readonly index: SparseStreamIndex;
  readonly #path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle, index: SparseStreamIndex) {
    this.#path = path;
    this.#file = file;
    this.index = index;
  }

  /**
   * Opens the file and finds its frames.
   * @throws ProtocolError VB_SPARSE_…; VBackupError VB_IO, VB_ABORTED
   */
  static async open(path: string, { signal }: ReadStreamOptions = {}): Promise<SparseStreamFile> {
    const file = await open(path).catch((cause: unknown) => {
      throw new VBackupError('VB_IO', `cannot open ${path}`, { cause });
    });
    try {
      const scan = scanSparseStream((await file.stat()).size);
      let step = scan.next();
      while (step.done !== true) {
        if (signal?.aborted === true) throw abortError(signal);
        step = scan.next(await readAt(file, path, step.value.read));
      }
      return new SparseStreamFile(path, file, step.value);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * The data of `range`, ascending; what is zero or not in this file is left out. A compressed frame is decoded from
   * its beginning, block by block.
   * @throws ProtocolError VB_SPARSE_…; VBackupError VB_IO, VB_ABORTED
   */
  async *read(range: Extent, { signal }: ReadStreamOptions = {}): AsyncGenerator<Piece> {
    for (const frame of this.index.frames(range)) {
      if (frame.kind === 'zero') continue;
      const pieces = this.index.meta.compressed ? this.#decode(frame) : this.#copy(frame, range);
      for await (const piece of pieces) {
        if (signal?.aborted === true) throw abortError(signal);
        if (piece.offset >= endOf(range)) break;
        const from = Math.max(0, range.offset - piece.offset);
        const bytes = piece.bytes.subarray(from, endOf(range) - piece.offset);
        if (bytes.length > 0) yield { offset: piece.offset + from, bytes };
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async *#copy(frame: IndexFrame, range: Extent): AsyncGenerator<Piece> {
    const end = Math.min(endOf(frame), endOf(range));
    for (let offset = Math.max(frame.offset, range.offset); offset < end; offset += CHUNK_LENGTH) {
      const read = {
        offset: frame.payloadOffset + offset - frame.offset,
        length: Math.min(CHUNK_LENGTH, end - offset),
      };
      yield { offset, bytes: await this.#exactly(read) };
    }
  }

  async *#decode(frame: IndexFrame): AsyncGenerator<Piece> {
    const queue = new ByteQueue();
    const base = frame.payloadOffset;
    let decoded = 0;
    let lz4: Lz4FrameDecoder | undefined;
    for (let at = 0; at < frame.storedLength; at += CHUNK_LENGTH) {
      const length = Math.min(CHUNK_LENGTH, frame.storedLength - at);
      queue.push(await this.#exactly({ offset: base + at, length }));
      while (queue.length > 0) {
        lz4 ??= new Lz4FrameDecoder(queue, { base, limit: frame.length - decoded });
        for (const bytes of lz4.decode()) {
          yield { offset: frame.offset + decoded, bytes };
          decoded += bytes.length;
        }
        if (!lz4.done) break;
        lz4 = undefined;
      }
    }
    if (decoded === frame.length && lz4 === undefined) return;
    const message = `payload decodes to ${decoded} bytes, ${frame.length} expected`;
    throw new ProtocolError('VB_SPARSE_LZ4_LENGTH', message, base + frame.storedLength);
  }

  async #exactly(read: Extent): Promise<Buffer> {
    const bytes = await readAt(this.#file, this.#path, read);
    if (bytes.length === read.length) return bytes;
    throw new ProtocolError('VB_SPARSE_TRUNCATED', `${this.#path} became shorter`, read.offset + bytes.length);
  }
}

/** Fewer bytes only where the file ends. */
async function readAt(file: FileHandle, path: string, { offset, length }: Extent): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  try {
    while (filled < length) {
      const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
  } catch (cause) {
    throw new VBackupError('VB_IO', `cannot read ${path}`, { cause });
  }
  return bytes.subarray(0, filled);
}
