import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type SparseCopyJob, sparseCopy } from '@vbackup/core';
import type { Contender, Contest } from './contest.js';
import { timeProgram } from './program.js';

const BLOCK_LENGTH = 4096;
/** As many data extents as a used disk image has. */
const EXTENT_COUNT = 450;

/** A file of which every other half MiB or so is a hole, and copies of it; everything is gone when it is disposed. */
export class SparseBenchFile implements AsyncDisposable {
  readonly #folder: string;
  readonly #dataLength: number;

  private constructor(folder: string, dataLength: number) {
    this.#folder = folder;
    this.#dataLength = dataLength;
  }

  static async make(size: number): Promise<SparseBenchFile> {
    const folder = await mkdtemp(join(tmpdir(), 'vbackup-bench-'));
    const step = Math.ceil(size / EXTENT_COUNT / BLOCK_LENGTH / 2) * BLOCK_LENGTH * 2;
    const data = randomFillSync(Buffer.alloc(step / 2));
    await using file = await open(join(folder, 'source'), 'w');
    await file.truncate(size);
    let dataLength = 0;
    for (let offset = 0; offset < size; offset += step) {
      dataLength += (await file.write(data, 0, Math.min(data.length, size - offset), offset)).bytesWritten;
    }
    await file.sync();
    return new SparseBenchFile(folder, dataLength);
  }

  /** No reflinks: what is compared is copying, and where this runs there may be none. Nothing waits for the disk. */
  contests(): readonly Contest[] {
    return [
      {
        name: 'sparse copy, zeros found',
        bytes: this.#dataLength,
        peer: this.#program(['--sparse=always', '--reflink=never']),
        ours: [this.#ours({ reflink: 'never' })],
      },
      {
        name: 'sparse copy, extents as they are',
        bytes: this.#dataLength,
        peer: this.#program(['--sparse=auto', '--reflink=never']),
        ours: [this.#ours({ reflink: 'never', detectZeroes: false }), this.#ours({ detectZeroes: false })],
      },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }

  #program(options: readonly string[]): Contender {
    const [source, target] = [join(this.#folder, 'source'), join(this.#folder, 'target')];
    return {
      name: `cp ${options[0] ?? ''}`,
      run: async () => {
        await this.#warm();
        const cost = await timeProgram(['cp', ...options, source, target]);
        await this.#check();
        return cost;
      },
    };
  }

  #ours(options: Partial<SparseCopyJob>): Contender {
    const [source, target] = [join(this.#folder, 'source'), join(this.#folder, 'target')];
    return {
      name: options.detectZeroes === false && options.reflink !== 'never' ? 'vbackup, by the kernel' : 'vbackup',
      run: async () => {
        await this.#warm();
        const before = process.cpuUsage();
        const { elapsedMs } = await sparseCopy({ source, target, fsync: false, ...options });
        const cpu = process.cpuUsage(before);
        await this.#check();
        return { seconds: elapsedMs / 1000, cpuSeconds: (cpu.user + cpu.system) / 1e6 };
      },
    };
  }

  /**
   * A copy that nobody times: it leaves every contender the same memory. What was free for some seconds a virtual machine
   * has given back to its host, and to touch it again costs more than to copy.
   */
  async #warm(): Promise<void> {
    const [source, target] = [join(this.#folder, 'source'), join(this.#folder, 'target')];
    execFileSync('cp', ['--sparse=auto', '--reflink=never', source, target]);
    await rm(target);
  }

  /** A copy counts if it has every byte of the source, and no more blocks. @throws Error otherwise */
  async #check(): Promise<void> {
    const [source, target] = [join(this.#folder, 'source'), join(this.#folder, 'target')];
    execFileSync('cmp', [source, target]);
    const [wanted = 0, taken = 0] = execFileSync('stat', ['--format=%b', source, target], { encoding: 'utf8' })
      .split('\n')
      .map(Number);
    // Blocks of the file system's own tree may be more or fewer by some.
    if (taken > wanted * 1.01) throw new Error(`a copy takes ${taken} blocks, its source ${wanted}`);
    await rm(target);
  }
}
