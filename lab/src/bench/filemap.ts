import { execFileSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MapMethod, openFilemap } from '@vbackup/core';
import type { Contender, Contest, Target } from './contest.js';
import { timeProgram } from './program.js';
import type { Scale } from './suite.js';

const FILE_LENGTH = 10 * 1024 * 1024 * 1024;
/** So many that what counts is a tenth of a second and more: of 50,000 the time of a collection, or a tick, decided. */
const EXTENT_COUNT = 200_000;
const QUICK_EXTENT_COUNT = 2_000;
const BLOCK_LENGTH = 4096;
/** One block of data, then a hole, again and again. */
const stepOf = (count: number): number => Math.floor(FILE_LENGTH / count / BLOCK_LENGTH) * BLOCK_LENGTH;

/** What our time may be, as a multiple of that of a C program that makes the same calls, its start included. */
const TARGET: Target = { time: 1.5, cpu: 1.5 };

/** The words of each, and the lines in which it tells of data. */
const PEERS = {
  filefrag: { words: ['filefrag', '-v'], data: /^ *\d+: /gm },
  'xfs_io fiemap': { words: ['xfs_io', '-r', '-c', 'fiemap'], data: /^\s*\d+: \[\d+\.\.\d+\]: \d/gm },
  'xfs_io seek': { words: ['xfs_io', '-r', '-c', 'seek -a -r 0'], data: /^DATA\s/gm },
} as const;

/** What is found is not counted in bytes. */
const NO_BYTES = Number.NaN;

/** A sparse file of 200,000 extents (of 2,000 for a rehearsal), and who finds them; it is gone when it is disposed. */
export class FragmentedBenchFile implements AsyncDisposable {
  readonly #folder: string;
  readonly #path: string;
  readonly #count: number;

  private constructor(folder: string, count: number) {
    this.#folder = folder;
    this.#count = count;
    this.#path = join(folder, 'fragmented');
  }

  static async make({ quick }: Scale): Promise<FragmentedBenchFile> {
    const count = quick ? QUICK_EXTENT_COUNT : EXTENT_COUNT;
    const made = new FragmentedBenchFile(await mkdtemp(join(tmpdir(), 'vbackup-bench-')), count);
    const block = Buffer.alloc(BLOCK_LENGTH, 1);
    await using file = await open(made.#path, 'w');
    await file.truncate(FILE_LENGTH);
    // One call after the other without a turn of the event loop, or making the file takes longer than all that is measured.
    for (let index = 0; index < count; index++) writeSync(file.fd, block, 0, BLOCK_LENGTH, index * stepOf(count));
    await file.sync();
    made.#checkPeers();
    return made;
  }

  contests(): readonly Contest[] {
    const contest = (peer: keyof typeof PEERS, method: MapMethod): Contest => ({
      name: `${this.#count} extents, ${method}`,
      bytes: NO_BYTES,
      peer: { name: peer, run: () => timeProgram([...PEERS[peer].words, this.#path]) },
      ours: [this.#ours(method)],
      target: TARGET,
    });
    return [contest('filefrag', 'fiemap'), contest('xfs_io fiemap', 'fiemap'), contest('xfs_io seek', 'seek')];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }

  #ours(method: MapMethod): Contender {
    return {
      name: 'vbackup',
      run: async () => {
        const before = process.cpuUsage();
        const start = performance.now();
        await using map = await openFilemap(this.#path, { method });
        let count = 0;
        for await (const { kind } of map.extents()) if (kind === 'data') count += 1;
        const seconds = (performance.now() - start) / 1000;
        const cpu = process.cpuUsage(before);
        if (count !== this.#count) throw new Error(`${method} found ${count} extents of ${this.#count}`);
        return { seconds, cpuSeconds: (cpu.user + cpu.system) / 1e6 };
      },
    };
  }

  /** Once, not timed: each of the others finds as many. @throws Error otherwise */
  #checkPeers(): void {
    for (const [name, { words, data }] of Object.entries(PEERS)) {
      const [program, ...options] = words;
      const text = execFileSync(program, [...options, this.#path], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
      const count = text.match(data)?.length ?? 0;
      if (count !== this.#count) throw new Error(`${name} finds ${count} extents of ${this.#count}`);
    }
  }
}
