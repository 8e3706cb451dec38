import type { WithSignal } from '../../hypervisor/index.js';
import { AppendFile } from '../../storage/append-file.js';
import { DirectAppender } from '../../storage/direct-appender.js';
import type { FileSums, WorkerPool } from '../workers/worker-pool.js';
import { StreamSums } from './stream-sums.js';

/** What the sums are made of are the blocks that are written. */
type Summed =
  | { readonly sums: StreamSums; readonly direct: DirectAppender }
  | { readonly sums: null; readonly direct: null };

export interface StreamFileOptions {
  readonly workers: WorkerPool;
  /** Whether what is written first may stay as it is: then the sums are made on the way. */
  readonly sumsOnTheWay: boolean;
}

/**
 * The file of a stream while it is written. As long as its sums are made on the way it is not read back, and goes around the page
 * cache, where it would only take memory.
 */
export class StreamFile implements AsyncDisposable {
  readonly #workers: WorkerPool;
  readonly #file: AppendFile;
  readonly #sums: StreamSums | null;
  #direct: DirectAppender | null;
  #willBeRead = false;

  private constructor(file: AppendFile, parts: { workers: WorkerPool } & Summed) {
    this.#file = file;
    this.#workers = parts.workers;
    this.#sums = parts.sums;
    this.#direct = parts.direct;
  }

  static async create(path: string, { workers, sumsOnTheWay }: StreamFileOptions): Promise<StreamFile> {
    const file = await AppendFile.create(path);
    if (!sumsOnTheWay) return new StreamFile(file, { workers, sums: null, direct: null });
    const sums = new StreamSums(workers);
    const direct = await DirectAppender.openShowing(file, (block) => sums.add(block));
    return new StreamFile(file, { workers, sums, direct });
  }

  get path(): string {
    return this.#file.path;
  }

  /** Writes all buffers, in order, after what was appended before. */
  async append(buffers: readonly Buffer[]): Promise<void> {
    if (this.#willBeRead) await this.#leaveDirect();
    await (this.#direct ?? this.#file).append(buffers);
  }

  /** What was written first will change: sums of it are useless, and it will be read again. */
  giveUpSums(): void {
    this.#willBeRead = true;
    void this.#sums?.giveUp();
  }

  /** Overwrites bytes that were appended before, and gives up the sums. */
  async patch(bytes: Buffer, position: number): Promise<void> {
    this.giveUpSums();
    await this.#leaveDirect();
    await this.#file.patch(bytes, position);
  }

  /** Makes everything durable, and says what the file is. Nothing is written afterwards. */
  async finish(options: WithSignal): Promise<FileSums> {
    await this.#direct?.flush();
    const [known] = await Promise.all([this.#sumsOf(options), (this.#direct ?? this.#file).sync()]);
    return known;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sums?.giveUp();
    await this.#direct?.[Symbol.asyncDispose]();
    await this.#file[Symbol.asyncDispose]();
  }

  async #sumsOf(options: WithSignal): Promise<FileSums> {
    const sums = this.#willBeRead ? null : await this.#sums?.end();
    return sums ?? this.#workers.digestFile(this.#file.path, { ...options, adler32: true });
  }

  async #leaveDirect(): Promise<void> {
    const direct = this.#direct;
    if (direct === null) return;
    await direct.flush();
    this.#file.resume(direct.length);
    this.#direct = null;
    await direct[Symbol.asyncDispose]();
  }
}
