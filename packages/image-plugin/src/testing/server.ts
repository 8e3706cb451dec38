import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const START_TIMEOUT_MS = 15_000;

/** An NBD server that is not vbackup's, on a unix socket. */
export class Server implements AsyncDisposable {
  readonly folder: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, child: ChildProcess) {
    this.folder = folder;
    this.#process = child;
  }

  /** nbdkit with these arguments after those that say where it listens. */
  static nbdkit(...args: readonly string[]): Promise<Server> {
    return Server.#start((socket, pid) => ['nbdkit', '--foreground', '--unix', socket, '--pidfile', pid, ...args]);
  }

  /** qemu-nbd, as it is without `--persistent`: it ends with its last client. */
  static qemu(...args: readonly string[]): Promise<Server> {
    return Server.#start((socket, pid) => ['qemu-nbd', '--socket', socket, '--pid-file', pid, ...args]);
  }

  static async #start(words: (socket: string, pid: string) => readonly string[]): Promise<Server> {
    const folder = await mkdtemp(join(tmpdir(), 'vbackup-server-'));
    const [program = '', ...args] = words(join(folder, 'nbd.sock'), join(folder, 'pid'));
    const child = spawn(program, args, { stdio: 'ignore' });
    const server = new Server(folder, child);
    const signal = AbortSignal.timeout(START_TIMEOUT_MS);
    while (!existsSync(join(folder, 'pid'))) {
      if (child.exitCode !== null || signal.aborted) {
        await server[Symbol.asyncDispose]();
        throw new Error(`${program} ${args.join(' ')} did not start`);
      }
      await delay(10);
    }
    return server;
  }

  /** @param parameters - of TLS, each with its `&` before it */
  uri(exportName = '', parameters = ''): string {
    const scheme = parameters === '' ? 'nbd+unix' : 'nbds+unix';
    return `${scheme}:///${exportName}?socket=${join(this.folder, 'nbd.sock')}${parameters}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const ended = once(this.#process, 'exit');
      this.#process.kill('SIGKILL');
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}
