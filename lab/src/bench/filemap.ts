import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type MapMethod, openFilemap } from '@vbackup/core';
import type { Contender, Contest, Ratios } from './contest.js';
import { timeProgram } from './program.js';

const FILE_LENGTH = 10 * 1024 * 1024 * 1024;
const EXTENT_COUNT = 50_000;
const BLOCK_LENGTH = 4096;
/** One block of data, then a hole, again and again. */
const STEP = Math.floor(FILE_LENGTH / EXTENT_COUNT / BLOCK_LENGTH) * BLOCK_LENGTH;

/** What our time may be, as a multiple of that of a C program that makes the same calls, its start included. */
const TARGET: Ratios = { time: 1.5, cpu: 1.5 };

/** The words of each, and the lines in which it tells of data. */
const PEERS = {
  filefrag: { words: ['filefrag', '-v'], data: /^ *\d+: /gm },
  'xfs_io fiemap': { words: ['xfs_io', '-r', '-c', 'fiemap'], data: /^\s*\d+: \[\d+\.\.\d+\]: \d/gm },
  'xfs_io seek': { words: ['xfs_io', '-r', '-c', 'seek -a -r 0'], data: /^DATA\s/gm },
} as const;

/** A sparse file of 50,000 extents, and who finds them; it is gone when it is disposed. */
export class FragmentedBenchFile implements AsyncDisposable {
  readonly #folder: string;
  readonly #path: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#path = join(folder, 'fragmented');
  }

  static async make(): Promise<FragmentedBenchFile> {
    const made = new FragmentedBenchFile(await mkdtemp(join(tmpdir(), 'vbackup-bench-')));
    const block = Buffer.alloc(BLOCK_LENGTH, 1);
    await using file = await open(made.#path, 'w');
    await file.truncate(FILE_LENGTH);
    for (let index = 0; index < EXTENT_COUNT; index++) await file.write(block, 0, BLOCK_LENGTH, index * STEP);
    await file.sync();
    made.#checkPeers();
    return made;
  }

  contests(): readonly Contest[] {
    const contest = (peer: keyof typeof PEERS, method: MapMethod): Contest => ({
      name: `50,000 extents, ${method}`,
      bytes: FILE_LENGTH,
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
        if (count !== EXTENT_COUNT) throw new Error(`${method} found ${count} extents of ${EXTENT_COUNT}`);
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
      if (count !== EXTENT_COUNT) throw new Error(`${name} finds ${count} extents of ${EXTENT_COUNT}`);
    }
  }
}
