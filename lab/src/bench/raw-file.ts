import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Contender, Contest } from './contest.js';
import { writeRandomDisk } from './data-sets.js';
import { timeProgram, vbackup } from './program.js';
import { Servers } from './server.js';
import type { Scale, Suite } from './suite.js';

/** A random disk that is copied from servers to a raw file. Ours is durable when it ends; of the others only who is told to sync. */
export class RawFileSuite implements Suite {
  readonly #folder: string;
  readonly #size: number;
  readonly #servers: Servers;

  private constructor(folder: string, size: number) {
    this.#folder = folder;
    this.#size = size;
    this.#servers = new Servers(folder);
  }

  static async make({ size }: Scale): Promise<RawFileSuite> {
    const suite = new RawFileSuite(await mkdtemp(join(tmpdir(), 'raw-')), size);
    await writeRandomDisk(suite.#path('disk.raw'), size);
    return suite;
  }

  async *contests(): AsyncGenerator<Contest> {
    const disk = this.#path('disk.raw');
    yield this.#contest('to a raw file, unix, qemu-nbd', await this.#servers.qemuNbd('-r', '-f', 'raw', disk));
    yield this.#contest('to a raw file, unix, nbdkit', await this.#servers.nbdkit('-r', 'file', disk));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#servers[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  readonly #path = (name: string): string => join(this.#folder, name);

  #contest(name: string, uri: string): Contest {
    const copy = this.#path('copy.raw');
    const socket = uri.slice(uri.indexOf('=') + 1);
    const image = `driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=${socket}`;
    const convert = ['qemu-img', 'convert', '-W', '-m', '16', '-O', 'raw', '--image-opts', image, copy];
    const direct = ['bs=2M', 'oflag=direct', 'conv=fsync', 'status=none'];
    const floor = ['dd', `if=${this.#path('disk.raw')}`, `of=${copy}`, ...direct];
    return {
      name,
      bytes: this.#size,
      peer: this.#contender('nbdcopy', ['nbdcopy', uri, copy]),
      target: { time: 0.9 },
      rivals: [
        { contender: this.#contender('qemu-img convert -W', convert), target: { time: 1 } },
        { contender: this.#contender('nbdcopy --flush', ['nbdcopy', '--flush', uri, copy]) },
        // Shown, not judged against: how this disk takes the bytes from memory, one request after the other.
        { contender: this.#contender('dd, direct and synced', floor) },
      ],
      ours: [this.#contender('vbackup copy', vbackup('copy', uri, copy))],
    };
  }

  #contender(name: string, words: readonly string[]): Contender {
    return {
      name,
      run: async () => {
        await warm(this.#path('disk.raw'), this.#path('copy.raw'));
        const cost = await timeProgram(words);
        execFileSync('cmp', [this.#path('disk.raw'), this.#path('copy.raw')]);
        return cost;
      },
    };
  }
}

/**
 * Leaves every contender the same: a copy that nobody times is made and removed, so that what is free is memory that this machine
 * has. What was free for some seconds a virtual machine gives back to its host, and to touch it again costs more than to copy.
 */
export async function warm(source: string, target: string): Promise<void> {
  await rm(target, { force: true });
  execFileSync('cp', ['--sparse=auto', '--reflink=never', source, target]);
  await rm(target);
}
