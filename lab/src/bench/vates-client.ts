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

/** Reads of one length, one after the other over TCP, through our client and through that of Xen Orchestra, if it installs. */
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
      const name = `reads of ${length / KiB} KiB, TCP, one after the other`;
      if ('absent' in theirs) {
        yield { name, absent: theirs.absent };
        continue;
      }
      const words = [process.execPath, READER, String(port), String(length)];
      yield {
        name,
        bytes: this.#scale.size,
        target: { time: 0.5 },
        peer: { name: '@vates/nbd-client', run: () => timeProgram([...words, theirs.module]) },
        ours: [{ name: "vbackup's client", run: () => timeProgram(words) }],
      };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#servers[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #install(): Promise<{ readonly module: string } | { readonly absent: string }> {
    if (this.#scale.quick) return { absent: 'nothing is installed for a rehearsal' };
    const cwd = join(this.#folder, 'vates');
    await mkdir(cwd);
    await writeFile(join(cwd, 'package.json'), JSON.stringify(PACKAGE));
    try {
      const words = ['install', '--ignore-scripts', '--no-audit', '--no-fund'];
      execFileSync('npm', words, { cwd, stdio: 'pipe', timeout: INSTALL_TIMEOUT_MS });
      return { module: join(cwd, 'node_modules', '@vates', 'nbd-client', 'index.mjs') };
    } catch (error) {
      const [line = ''] = String(error).split('\n').slice(-3);
      return { absent: `@vates/nbd-client cannot be installed here: ${line}` };
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no TCP port is free');
  return address.port;
}
