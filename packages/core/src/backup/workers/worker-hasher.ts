import { type PieceHasher, plainHasher } from '../../vma/piece-digests.js';
import { WorkerPool } from './worker-pool.js';

/** Pieces that are hashed in this thread, before another one is started: in that time they are done. */
const PIECES_AT_HOME = 32;

/**
 * SHA-256 in a thread of its own, over shared memory. Node's asynchronous call of its own copies every piece into new memory,
 * in the calling thread: that takes as long as to hash it.
 */
export class WorkerHasher implements PieceHasher, AsyncDisposable {
  readonly #workers = new WorkerPool({ module: new URL('./hash.worker.js', import.meta.url), count: 1 });
  readonly #lease = this.#workers.lease();
  #count = 0;

  allocate(length: number): Buffer {
    return Buffer.from(new SharedArrayBuffer(length));
  }

  async hash(bytes: Buffer): Promise<Buffer> {
    this.#count += 1;
    if (this.#count <= PIECES_AT_HOME) return plainHasher.hash(bytes);
    const { digest } = await this.#workers.encode({ algorithm: 'sha256', input: bytes });
    return digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lease[Symbol.asyncDispose]();
  }
}
