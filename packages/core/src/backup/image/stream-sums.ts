import type { FileSums, RunningSum, WorkerPool } from '../workers/worker-pool.js';

/**
 * The sums of a stream while it is written, by one of the workers. They are of use if its beginning, where META says how much data
 * follows, is not changed in the end.
 */
export class StreamSums {
  #sum: RunningSum | null;
  #length = 0;

  constructor(workers: WorkerPool) {
    this.#sum = workers.startSum({ adler32: true });
  }

  /** What comes next in the file, in shared memory. It may be written to again when this settles; never fails. */
  async add(block: Buffer): Promise<void> {
    if (this.#sum === null) return;
    this.#length += block.length;
    // Without a worker there are no sums, and they are made from the file.
    await this.#sum.add(block).catch(() => this.giveUp());
  }

  /** Of all that was added; null if they were given up. */
  async end(): Promise<FileSums | null> {
    const sum = this.#sum;
    this.#sum = null;
    const sums = await sum?.end().catch(() => null);
    return sums === undefined || sums === null ? null : { ...sums, size: this.#length };
  }

  /** Gives them up; what was given is free again when this returns. */
  async giveUp(): Promise<void> {
    await this.end();
  }
}
