import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Absence, Contest } from './contest.js';
import { writeRandomDisk } from './data-sets.js';
import { timeProgram } from './program.js';
import { Servers } from './server.js';
import type { Scale, Suite } from './suite.js';

const KiB = 1024;
/** As many as their client of several connections has unless it is told otherwise. */
const READS_AT_ONCE = 8;
const INSTALL_TIMEOUT_MS = 120_000;
/**
 * Two of its dependencies are not in every registry in the versions that it asks for; reading needs nothing of them. Its own
 * source stays as it is.
 */
const PACKAGE = {
  private: true,
  dependencies: { '@vates/nbd-client': '3.6.0' },
  overrides: { 'xen-api': '4.7.6', '@xen-orchestra/async-map': '0.1.4' },
};
const READER = fileURLToPath(new URL('./read-sized.js', import.meta.url));

/** Reads of one length over TCP, through our client and through those of Xen Orchestra, if they install. */
export class ClientSuite implements Suite {
  readonly #folder: string;
  readonly #scale: Scale;
  readonly #servers: Servers;

  private constructor(folder: string, scale: Scale) {
    this.#folder = folder;
    this.#scale = scale;
    this.#servers = new Servers(folder);
  }

  static async make(scale: Scale): Promise<ClientSuite> {
    const suite = new ClientSuite(await mkdtemp(join(tmpdir(), 'client-')), scale);
    await writeRandomDisk(join(suite.#folder, 'disk.raw'), scale.size);
    return suite;
  }

  async *contests(): AsyncGenerator<Contest | Absence> {
    const port = await freePort();
    await this.#servers.nbdkitTcp(port, '-r', 'file', join(this.#folder, 'disk.raw'));
    const theirs = await this.#install();
    for (const length of [64 * KiB, 2048 * KiB]) {
      for (const atOnce of [1, READS_AT_ONCE]) yield this.#contest({ port, length, atOnce, theirs });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#servers[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #contest({ port, length, atOnce, theirs }: Reads): Contest | Absence {
    const how = atOnce === 1 ? 'one after the other' : `${atOnce} at once`;
    const name = `reads of ${length / KiB} KiB, TCP, ${how}`;
    if ('absent' in theirs) return { name, absent: theirs.absent };
    const words = [process.execPath, READER, String(port), String(length), String(atOnce)];
    const limits = ['--connections=1', '--requests=1', `--request-size=${length}`];
    const floor = ['nbdcopy', ...limits, `nbd://127.0.0.1:${port}`, 'null:'];
    return {
      name,
      bytes: this.#scale.size,
      target: { time: 0.5 },
      peer: { name: '@vates/nbd-client', run: () => timeProgram([...words, theirs.folder]) },
      // Shown, not judged against: what a round trip to this server costs without a line of JavaScript.
      rivals:
        atOnce === 1 ? [{ contender: { name: 'nbdcopy, one request at a time', run: () => timeProgram(floor) } }] : [],
      ours: [{ name: "vbackup's client", run: () => timeProgram(words) }],
    };
  }

  async #install(): Promise<Installed | Missing> {
    if (this.#scale.quick) return { absent: 'nothing is installed for a rehearsal' };
    const cwd = join(this.#folder, 'vates');
    await mkdir(cwd);
    await writeFile(join(cwd, 'package.json'), JSON.stringify(PACKAGE));
    try {
      const words = ['install', '--ignore-scripts', '--no-audit', '--no-fund'];
      execFileSync('npm', words, { cwd, stdio: 'pipe', timeout: INSTALL_TIMEOUT_MS });
      return { folder: join(cwd, 'node_modules', '@vates', 'nbd-client') };
    } catch (error) {
      const [line = ''] = String(error).split('\n').slice(-3);
      return { absent: `@vates/nbd-client cannot be installed here: ${line}` };
    }
  }
}

interface Installed {
  readonly folder: string;
}

interface Missing {
  readonly absent: string;
}

interface Reads {
  readonly port: number;
  readonly length: number;
  readonly atOnce: number;
  readonly theirs: Installed | Missing;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no TCP port is free');
  return address.port;
}
