import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Contender, Contest } from './contest.js';
import { writeRandomDisk } from './data-sets.js';
import { timeProgram, vbackup } from './program.js';
import { emptyFolder } from './stream.js';
import type { Scale, Suite } from './suite.js';

const MiB = 1024 * 1024;
const SECONDS = 10;
const LENGTH = 160 * MiB;
const QUICK_LENGTH = 8 * MiB;
/** A rate is kept within this, to both sides. */
const TOLERANCE = 0.1;

/** Commands that are told how fast they may be: not faster, and not slower either. */
export class RateSuite implements Suite {
  readonly #folder: string;
  readonly #scale: Scale;

  private constructor(folder: string, scale: Scale) {
    this.#folder = folder;
    this.#scale = scale;
  }

  static async make(scale: Scale): Promise<RateSuite> {
    const suite = new RateSuite(await mkdtemp(join(tmpdir(), 'rate-')), scale);
    await writeRandomDisk(suite.#path('disk.raw'), suite.#length);
    await emptyFolder(suite.#path('kept'));
    execFileSync(process.execPath, suite.#backup('kept').slice(1), { stdio: 'ignore' });
    return suite;
  }

  *contests(): Generator<Contest> {
    const [disk, copy, kept] = [this.#path('disk.raw'), this.#path('copy.raw'), this.#path('kept')];
    const limit = ['--limit-rate', String(this.#length / this.#seconds)];
    yield this.#contest('copy --limit-rate', vbackup('copy', disk, copy, ...limit));
    yield this.#contest('backup --limit-rate', this.#backup('written', ...limit));
    yield this.#contest('restore --limit-rate', vbackup('restore', '-r', kept, `${disk}@latest`, copy, ...limit));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #length(): number {
    return this.#scale.quick ? QUICK_LENGTH : LENGTH;
  }

  get #seconds(): number {
    return this.#scale.quick ? 1 : SECONDS;
  }

  readonly #path = (name: string): string => join(this.#folder, name);

  readonly #backup = (repository: string, ...options: readonly string[]): readonly string[] => {
    const where = ['-r', this.#path(repository), '--hypervisor', 'file', this.#path('disk.raw')];
    return vbackup('backup', ...where, '--level', 'full', ...options);
  };

  #contest(name: string, words: readonly string[]): Contest {
    const exact: Contender = {
      name: 'the rate',
      run: () => Promise.resolve({ seconds: this.#seconds, cpuSeconds: 1 }),
    };
    return {
      name,
      bytes: this.#length,
      peer: exact,
      target: { time: 1 + TOLERANCE },
      mostRounds: 1,
      ours: [{ name: 'vbackup', run: () => this.#run(name, words) }],
    };
  }

  /** @throws Error if it was faster than it may be, which is as wrong as to write something else */
  async #run(name: string, words: readonly string[]): ReturnType<Contender['run']> {
    const copy = this.#path('copy.raw');
    await rm(copy, { force: true });
    await emptyFolder(this.#path('written'));
    const cost = await timeProgram(words);
    if (cost.seconds < this.#seconds * (1 - TOLERANCE)) throw new Error(`${name} took only ${cost.seconds} s`);
    if (words.includes(copy)) execFileSync('cmp', [this.#path('disk.raw'), copy]);
    return cost;
  }
}
