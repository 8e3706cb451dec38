import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkStream } from './check-stream.js';
import type { Contender, Contest, Cost, Target } from './contest.js';
import { writeDiskOfFiles, writeHalfEmptyDisk } from './data-sets.js';
import { PYTHON, timeProgram, vbackup } from './program.js';
import { warm } from './raw-file.js';
import { Servers } from './server.js';
import type { Scale, Suite } from './suite.js';

const PEER = fileURLToPath(new URL('../../virtnbdbackup-stream.py', import.meta.url));
/** What virtnbdbackup compresses with unless it is told otherwise. */
const LZ4_LEVEL = '1';

/** Disks that become a full backup in a SparseStream. Ours plans, indexes, digests, syncs and commits; the peer only writes. */
export class StreamSuite implements Suite {
  readonly #folder: string;
  readonly #size: number;
  readonly #servers: Servers;

  private constructor(folder: string, size: number) {
    this.#folder = folder;
    this.#size = size;
    this.#servers = new Servers(folder);
  }

  static async make({ size }: Scale): Promise<StreamSuite> {
    const suite = new StreamSuite(await mkdtemp(join(tmpdir(), 'stream-')), size);
    await writeHalfEmptyDisk(suite.#path('half.raw'), size);
    await writeDiskOfFiles(suite.#path('files.raw'), size);
    return suite;
  }

  async *contests(): AsyncGenerator<Contest> {
    const bytes = this.#size;
    yield this.#contest('half-empty to a SparseStream', { disk: 'half.raw', bytes: bytes / 2, target: { time: 0.55 } });
    const target = { time: 0.45, cpu: 0.8 };
    yield this.#contest('files to an LZ4 SparseStream', { disk: 'files.raw', bytes, target, compress: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#servers[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  readonly #path = (name: string): string => join(this.#folder, name);

  async #contest(
    name: string,
    {
      disk,
      bytes,
      target,
      compress = false,
    }: { readonly disk: string; readonly bytes: number; readonly target: Target; readonly compress?: boolean },
  ): Promise<Contest> {
    const uri = await this.#servers.qemuNbd('-r', '-f', 'raw', this.#path(disk));
    const socket = uri.slice(uri.indexOf('=') + 1);
    const stream = this.#path('peer.data');
    const peer = [PYTHON, PEER, socket, stream, compress ? LZ4_LEVEL : '0'];
    const repository = this.#path('repository');
    const options = ['-r', repository, '--level', 'full', '--compress', compress ? 'lz4' : 'none'];
    const ours = vbackup('backup', '--hypervisor', 'nbd', uri, ...options);
    return {
      name,
      bytes,
      target,
      peer: this.#contender("virtnbdbackup's core", disk, {
        prepare: () => rm(stream, { force: true }),
        run: () => timeProgram(peer),
        stream: () => Promise.resolve(stream),
      }),
      ours: [
        this.#contender('vbackup backup', disk, {
          prepare: () => emptyFolder(repository),
          run: () => timeProgram(ours),
          stream: () => dataFile(repository),
        }),
      ],
    };
  }

  #contender(name: string, disk: string, work: Work): Contender {
    return {
      name,
      run: async () => {
        await work.prepare();
        await warm(this.#path(disk), this.#path('warm'));
        const cost = await work.run();
        await checkStream(await work.stream(), this.#path(disk));
        return cost;
      },
    };
  }
}

interface Work {
  readonly prepare: () => Promise<void>;
  readonly run: () => Promise<Cost>;
  /** Where the stream is then. */
  readonly stream: () => Promise<string>;
}

export async function emptyFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path);
}

/** The one stream in a repository. */
async function dataFile(repository: string): Promise<string> {
  const names = (await readdir(repository, { recursive: true })).filter((name) => name.endsWith('.data'));
  const [name] = names;
  if (name === undefined || names.length > 1) throw new Error(`${repository} holds ${names.length} streams`);
  return join(repository, name);
}
