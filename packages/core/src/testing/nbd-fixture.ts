import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { NbdAddress } from '../nbd/index.js';
import { requireTools } from './tools.js';

const SCRIPT = fileURLToPath(new URL('../../../../lab/nbd-fixtures.sh', import.meta.url));
const POLL_MS = 10;
const START_TIMEOUT_MS = 15_000;

/** A real NBD server, started by `lab/nbd-fixtures.sh`, in a folder of its own. */
export class NbdFixture implements AsyncDisposable {
  readonly folder: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, child: ChildProcess) {
    this.folder = folder;
    this.#process = child;
  }

  /**
   * Starts a fixture and waits until it takes connections.
   * @param options.files - a folder whose content the server finds in its own (`pki`, `keys.psk`)
   */
  static async start(name: string, options: { readonly files?: string } = {}): Promise<NbdFixture> {
    const folder = await mkdtemp(join(tmpdir(), 'vbackup-nbd-'));
    if (options.files !== undefined) await cp(options.files, folder, { recursive: true });
    const child = spawn(SCRIPT, [name, folder], { stdio: ['ignore', 'ignore', 'pipe'] });
    const fixture = new NbdFixture(folder, child);
    const words: Buffer[] = [];
    child.stderr.on('data', (chunk: Buffer) => words.push(chunk));
    try {
      await fixture.#ready();
    } catch (cause) {
      await fixture[Symbol.asyncDispose]();
      throw new Error(`fixture ${name} did not start: ${Buffer.concat(words).toString()}`, { cause });
    }
    return fixture;
  }

  get address(): NbdAddress {
    return { kind: 'unix', path: join(this.folder, 'nbd.sock') };
  }

  /** Without a slash: the fixtures' export names have none. */
  uri(exportName = ''): string {
    return `nbd+unix:///${exportName}?socket=${join(this.folder, 'nbd.sock')}`;
  }

  /** A file of the fixture, e.g. its log. */
  file(name: string): Promise<string> {
    return readFile(join(this.folder, name), 'utf8');
  }

  /** Ends the server without its consent. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #ready(): Promise<void> {
    const signal = AbortSignal.timeout(START_TIMEOUT_MS);
    while (!existsSync(join(this.folder, 'pid'))) {
      if (this.#process.exitCode !== null) throw new Error(`it ended with ${this.#process.exitCode}`);
      await delay(POLL_MS, undefined, { signal });
    }
  }
}

/** Skips the calling test, loudly, where the servers of the fixtures are not installed; fails under `CI=true`. */
export function requireNbdServers(context: { skip(): never }): void {
  requireTools(context, ['nbdkit', 'qemu-nbd', 'qemu-io', 'qemu-img']);
}
