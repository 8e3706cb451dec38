import type { FileHandle } from 'node:fs/promises';
import { readFully } from '../../storage/durable.js';
import type { RunningSum, WorkerPool } from '../workers/worker-pool.js';

/** What nobody else reads is read in pieces of this length. */
const PIECE_LENGTH = 256 * 1024;

/** A piece of the file that someone reads. */
export interface ReadPiece {
  readonly start: number;
  readonly end: number;
  /** All of it, in shared memory; null if it could not be read. */
  readonly bytes: Promise<Buffer | null>;
}

/**
 * The SHA-256 of a whole file, out of pieces that are read for another purpose, in any order; what lies between them it reads itself.
 */
export class FileSum implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #sum: RunningSum;
  #piece: Buffer | undefined;
  /** Everything in front of it was added. */
  #position = 0;
  #failed = false;
  #ended = false;
  /** Settles when all that was given is on its way to the worker. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(file: FileHandle, workers: WorkerPool) {
    this.#file = file;
    this.#sum = workers.startSum({ adler32: false });
  }

  /** The next piece, in the order of the file; its memory is free again when this settles. Never fails. */
  async add(piece: ReadPiece): Promise<void> {
    const posted = this.#turn.then(() => this.#post(piece));
    this.#turn = posted;
    const { added } = await posted;
    await added;
  }

  /** Reads on to the end of the file. Lower-case hex; null if a part could not be read. */
  async end(): Promise<string | null> {
    await this.#turn;
    await this.#readUntil(Number.MAX_SAFE_INTEGER);
    this.#ended = true;
    const { sha256 } = await this.#sum.end();
    return this.#failed ? null : sha256;
  }

  /** The worker forgets it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn;
    if (!this.#ended) await this.#sum.end().catch(() => undefined);
  }

  /** The bytes are on their way when this returns; what it returns tells when they are free again. */
  async #post({ start, end, bytes: read }: ReadPiece): Promise<{ readonly added: Promise<void> }> {
    const bytes = await read.catch(() => null);
    // Of frames that overlap, only what is new is added. What could not be read is tried again with what lies between.
    if (bytes === null || end <= this.#position) return { added: Promise.resolve() };
    await this.#readUntil(start);
    const fresh = bytes.subarray(this.#position - start);
    this.#position = end;
    return { added: this.#add(fresh) };
  }

  async #readUntil(offset: number): Promise<void> {
    while (this.#position < offset && !this.#failed) {
      this.#piece ??= Buffer.from(new SharedArrayBuffer(PIECE_LENGTH));
      const piece = this.#piece.subarray(0, Math.min(PIECE_LENGTH, offset - this.#position));
      const filled = await readFully(this.#file, piece, this.#position).catch(() => null);
      if (filled === null) this.#failed = true;
      else await this.#add(piece.subarray(0, filled));
      this.#position += filled ?? 0;
      if (filled !== piece.length) return;
    }
  }

  async #add(bytes: Buffer): Promise<void> {
    if (this.#failed) return;
    try {
      await this.#sum.add(bytes);
    } catch {
      this.#failed = true;
    }
  }
}
