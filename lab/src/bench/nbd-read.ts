import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Contest, Target } from './contest.js';
import { writeRandomDisk } from './data-sets.js';
import { digestOf, timeProgram } from './program.js';
import { Servers } from './server.js';
import type { Scale, Suite } from './suite.js';

const READER = fileURLToPath(new URL('./read-export.js', import.meta.url));

/** A random disk that is read whole from servers, to nowhere. */
export class ReadSuite implements Suite {
  readonly #folder: string;
  readonly #size: number;
  readonly #servers: Servers;
  #digest: Promise<string> | undefined;

  private constructor(folder: string, size: number) {
    this.#folder = folder;
    this.#size = size;
    this.#servers = new Servers(folder);
  }

  static async make({ size }: Scale): Promise<ReadSuite> {
    const suite = new ReadSuite(await mkdtemp(join(tmpdir(), 'read-')), size);
    await writeRandomDisk(suite.#disk, size);
    return suite;
  }

  async *contests(): AsyncGenerator<Contest> {
    const servers = this.#servers;
    const raw = ['-r', '-f', 'raw', this.#disk];
    const plain = { time: 1, cpu: 0.9 };
    const tls = { time: 1.1, cpu: 1.1 };
    yield this.#contest('read to null, unix, qemu-nbd', await servers.qemuNbd(...raw), plain);
    yield this.#contest('read to null, unix, nbdkit', await servers.nbdkit('-r', 'file', this.#disk));
    yield this.#contest('read to null, TLS, nbdkit', await servers.nbdkitTls('-r', 'file', this.#disk), tls);
    yield this.#contest('read to null, TLS, qemu-nbd', await servers.qemuNbdTls(...raw), tls);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#servers[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #disk(): string {
    return join(this.#folder, 'disk.raw');
  }

  /** What is read to null cannot be looked at: in the round that does not count the same readers write it to a hash. */
  #contest(name: string, uri: string, target?: Target): Contest {
    const reader = (connections: number) => {
      const words = [process.execPath, READER, uri, String(connections)];
      return {
        name: `vbackup's client, ${connections} connection${connections === 1 ? '' : 's'}`,
        run: this.#checked([...words, 'print'], words),
      };
    };
    return {
      name,
      bytes: this.#size,
      peer: { name: 'nbdcopy', run: this.#checked(['nbdcopy', uri, '-'], ['nbdcopy', uri, 'null:']) },
      // Commands read over two where nothing is said and the server lets them, whatever the transport.
      ours: [reader(2), reader(1)],
      target,
    };
  }

  #checked(print: readonly string[], read: readonly string[]): () => ReturnType<typeof timeProgram> {
    let checked = false;
    return async () => {
      this.#digest ??= digestOf(['cat', this.#disk]);
      if (!checked && (await digestOf(print)) !== (await this.#digest)) {
        throw new Error(`${print.join(' ')} read other bytes than the disk has`);
      }
      checked = true;
      return timeProgram(read);
    };
  }
}
