import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadNbdUri, NbdClient } from '@vbackup/core';
import type { Contender, Contest } from './contest.js';
import { FRAGMENT_LENGTH, fragments, RandomBytes } from './data-sets.js';
import { timeProgram, vbackup } from './program.js';
import { Servers } from './server.js';
import { emptyFolder } from './stream.js';
import type { Scale, Suite } from './suite.js';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const BITMAP = 'bench';
/** Writes that are on their way at once while a disk is made. */
const WRITES_AT_ONCE = 16;

interface Write {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** A qcow2 with a dirty bitmap: its full backup, and what was written since, which an increment has to find. */
interface Changed {
  readonly name: string;
  /** A repository with the full backup, that each run gets a copy of. */
  readonly base: string;
  readonly uri: string;
  readonly bytes: number;
}

/** Increments by a dirty bitmap: of many fragments, and of the same change in a small and in a huge disk. */
export class IncrementSuite implements Suite {
  readonly #folder: string;
  readonly #scale: Scale;
  readonly #servers: Servers;

  private constructor(folder: string, scale: Scale) {
    this.#folder = folder;
    this.#scale = scale;
    this.#servers = new Servers(folder);
  }

  static async make(scale: Scale): Promise<IncrementSuite> {
    return new IncrementSuite(await mkdtemp(join(tmpdir(), 'increment-')), scale);
  }

  async *contests(): AsyncGenerator<Contest> {
    yield await this.#fragmented();
    yield await this.#growing();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#servers[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  readonly #path = (name: string): string => join(this.#folder, name);

  async #fragmented(): Promise<Contest> {
    const { size } = this.#scale;
    const changed = await this.#change('fragments', size, fragments(size));
    const copy = this.#path('copy.raw');
    return {
      name: 'fragmented increment, 64 KiB extents',
      bytes: changed.bytes,
      target: { time: 1.1 },
      peer: {
        name: 'nbdcopy, 64 KiB requests',
        run: async () => {
          await rm(copy, { force: true });
          const cost = await timeProgram(['nbdcopy', `--request-size=${FRAGMENT_LENGTH}`, changed.uri, copy]);
          await this.#compare(changed, copy);
          return cost;
        },
      },
      ours: [this.#increment('vbackup backup --level inc', changed)],
    };
  }

  /** What an increment takes has to grow with what changed, not with the disk. */
  async #growing(): Promise<Contest> {
    const bytes = this.#scale.quick ? 4 * MiB : 64 * MiB;
    const make = (name: string, size: number): Promise<Changed> => {
      const random = new RandomBytes(name);
      const count = bytes / MiB;
      const writes = Array.from({ length: count }, (_, index) => ({
        offset: Math.floor(((size / count) * index) / MiB) * MiB,
        bytes: random.take(MiB),
      }));
      return this.#change(name, size, writes);
    };
    const [small, large] = [await make('10 GiB', 10 * GiB), await make('1 TiB', 1024 * GiB)];
    return {
      name: '64 MiB changed in a disk of 1 TiB',
      bytes,
      target: { time: 1.3, peak: 1.3 },
      peer: this.#increment('vbackup, of 10 GiB', small),
      ours: [this.#increment('vbackup, of 1 TiB', large)],
    };
  }

  /** One server from the first write to the last increment: a guest of NBD goes by its socket. */
  async #change(name: string, size: number, writes: Iterable<Write>): Promise<Changed> {
    const disk = this.#path(`${name}.qcow2`);
    const base = this.#path(`${name}.base`);
    await emptyFolder(base);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, String(size)]);
    execFileSync('qemu-img', ['bitmap', '--add', '-g', String(FRAGMENT_LENGTH), disk, BITMAP]);
    const uri = await this.#servers.qemuNbd('-f', 'qcow2', '-B', BITMAP, disk);
    // A bitmap that held nothing at the last backup is not believed.
    await write(uri, [{ offset: 0, bytes: Buffer.alloc(FRAGMENT_LENGTH, 1) }]);
    await timeProgram(backup(uri, base, 'full'));
    return { name, base, uri, bytes: await write(uri, writes) };
  }

  #increment(name: string, changed: Changed): Contender {
    const repository = this.#path('repository');
    const restored = this.#path('restored.raw');
    return {
      name,
      run: async () => {
        await rm(repository, { recursive: true, force: true });
        execFileSync('cp', ['-a', changed.base, repository]);
        const cost = await timeProgram(backup(changed.uri, repository, 'inc'));
        await rm(restored, { force: true });
        execFileSync(
          process.execPath,
          vbackup('restore', '-r', repository, `${changed.uri}@latest`, restored).slice(1),
          {
            stdio: 'ignore',
          },
        );
        await this.#compare(changed, restored);
        return cost;
      },
    };
  }

  /** The disk as another program reads it; only data is compared, so that a disk of 1 TiB takes no longer. */
  async #compare({ uri }: Changed, path: string): Promise<void> {
    const socket = uri.slice(uri.indexOf('=') + 1);
    const image = `driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=${socket}`;
    const other = `driver=raw,file.driver=file,file.filename=${path}`;
    execFileSync('qemu-img', ['compare', '--image-opts', image, other], { stdio: 'ignore' });
    await rm(path);
  }
}

function backup(uri: string, repository: string, level: string): readonly string[] {
  const options = ['-r', repository, '--level', level, '--compress', 'none'];
  return vbackup('backup', '--hypervisor', 'nbd', uri, '--dirty-bitmap', `qemu:dirty-bitmap:${BITMAP}`, ...options);
}

/** @returns how many bytes were written */
async function write(uri: string, writes: Iterable<Write>): Promise<number> {
  await using client = await NbdClient.connect(await loadNbdUri(uri));
  let length = 0;
  const next = Iterator.from(writes);
  const work = async (): Promise<void> => {
    for (const { offset, bytes } of next) {
      await client.write(offset, bytes);
      length += bytes.length;
    }
  };
  await Promise.all(Array.from({ length: WRITES_AT_ONCE }, work));
  await client.flush();
  return length;
}
