import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Contender, Contest } from './contest.js';
import { writeRandomDisk } from './data-sets.js';
import { timeProgram, vbackup } from './program.js';
import { Servers } from './server.js';
import type { Scale, Suite } from './suite.js';

const MiB = 1024 * 1024;
const LENGTH = 256 * MiB;
const DELAY = '20ms';

/** A server that answers every read late, as one far away does. */
export class LatencySuite implements Suite {
  readonly #folder: string;
  readonly #size: number;
  readonly #servers: Servers;

  private constructor(folder: string, size: number) {
    this.#folder = folder;
    this.#size = size;
    this.#servers = new Servers(folder);
  }

  static async make({ quick, size }: Scale): Promise<LatencySuite> {
    const suite = new LatencySuite(
      await mkdtemp(join(tmpdir(), 'latency-')),
      quick ? 16 * MiB : Math.min(LENGTH, size),
    );
    await writeRandomDisk(suite.#path('disk.raw'), suite.#size);
    return suite;
  }

  async *contests(): AsyncGenerator<Contest> {
    const delayed = ['-r', '--filter=delay', 'file', this.#path('disk.raw'), `rdelay=${DELAY}`];
    const uri = await this.#servers.nbdkit(...delayed);
    const copy = this.#path('copy.raw');
    const one = ['nbdcopy', '--synchronous', '--connections=1', `--request-size=${MiB}`, uri, copy];
    yield {
      name: `${DELAY} away, to a raw file`,
      bytes: this.#size,
      target: { time: 0.2 },
      peer: this.#contender('nbdcopy, one request at a time', one),
      rivals: [{ contender: this.#contender('nbdcopy', ['nbdcopy', uri, copy]) }],
      ours: [
        this.#contender('vbackup copy --connections 8', vbackup('copy', uri, copy, '--connections', '8')),
        this.#contender('vbackup copy', vbackup('copy', uri, copy)),
      ],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#servers[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  readonly #path = (name: string): string => join(this.#folder, name);

  #contender(name: string, words: readonly string[]): Contender {
    const copy = this.#path('copy.raw');
    return {
      name,
      run: async () => {
        await rm(copy, { force: true });
        const cost = await timeProgram(words);
        execFileSync('cmp', [this.#path('disk.raw'), copy]);
        return cost;
      },
    };
  }
}
