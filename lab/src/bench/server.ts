import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeAuthority } from '../pki/index.js';
import { vbackup } from './program.js';

const START_TIMEOUT_MS = 15_000;
/** Servers die with this process, also if it is killed. */
const TIED = ['--pdeathsig', 'KILL', '--'] as const;

/** Real servers on sockets in a folder; they end when this is disposed. */
export class Servers implements AsyncDisposable {
  readonly #folder: string;
  readonly #servers: ChildProcess[] = [];
  #pki: Promise<string> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param words - the options, the plugin and its parameters. @returns the URI */
  async nbdkit(...words: readonly string[]): Promise<string> {
    const { socket, pid } = this.#names();
    await this.#launch(['nbdkit', '-f', '-U', socket, '-P', pid, ...words], pid);
    return `nbd+unix:///?socket=${socket}`;
  }

  /** As {@link nbdkit}, on a port of this host. */
  async nbdkitTcp(port: number, ...words: readonly string[]): Promise<void> {
    const { pid } = this.#names();
    await this.#launch(['nbdkit', '-f', '-i', '127.0.0.1', '-p', String(port), '-P', pid, ...words], pid);
  }

  /** `vbackup serve` of one disk. @param words - the source, and options. @returns the URI */
  async vbackupServe(...words: readonly string[]): Promise<string> {
    const { socket } = this.#names();
    await this.#launch(vbackup('serve', '--socket', socket, ...words), socket);
    return `nbd+unix:///?socket=${socket}`;
  }

  /** @param words - the options, and the image. @returns the URI */
  async qemuNbd(...words: readonly string[]): Promise<string> {
    const { socket, pid } = this.#names();
    await this.#launch(['qemu-nbd', '-t', '-e', '16', '-k', socket, `--pid-file=${pid}`, ...words], pid);
    return `nbd+unix:///?socket=${socket}`;
  }

  /** As {@link nbdkit}, in TLS; authority and name are checked. */
  async nbdkitTls(...words: readonly string[]): Promise<string> {
    const pki = await this.#certificates();
    const { socket, pid } = this.#names();
    const tls = ['--tls=require', `--tls-certificates=${pki}`];
    await this.#launch(['nbdkit', '-f', '-U', socket, '-P', pid, ...tls, ...words], pid);
    return tlsUri(socket, pki);
  }

  /** As {@link qemuNbd}, in TLS. */
  async qemuNbdTls(...words: readonly string[]): Promise<string> {
    const pki = await this.#certificates();
    const { socket, pid } = this.#names();
    const tls = ['--object', `tls-creds-x509,id=tls0,endpoint=server,dir=${pki},verify-peer=no`, '--tls-creds=tls0'];
    await this.#launch(['qemu-nbd', '-t', '-e', '16', '-k', socket, `--pid-file=${pid}`, ...tls, ...words], pid);
    return tlsUri(socket, pki);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers.splice(0)) {
      if (server.exitCode !== null || server.signalCode !== null) continue;
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    }
  }

  #names(): { readonly socket: string; readonly pid: string } {
    const name = join(this.#folder, `server-${this.#servers.length}`);
    return { socket: `${name}.sock`, pid: `${name}.pid` };
  }

  /** Waits for the file that the server writes when it takes connections. */
  async #launch(words: readonly string[], pid: string): Promise<void> {
    const server = spawn('setpriv', [...TIED, ...words], { stdio: 'ignore' });
    this.#servers.push(server);
    const signal = AbortSignal.timeout(START_TIMEOUT_MS);
    while (!existsSync(pid)) {
      if (server.exitCode !== null) throw new Error(`${words.join(' ')} ended with ${server.exitCode}`);
      await delay(10, undefined, { signal });
    }
  }

  #certificates(): Promise<string> {
    this.#pki ??= writeCertificates(join(this.#folder, 'pki'));
    return this.#pki;
  }
}

const tlsUri = (socket: string, pki: string): string =>
  `nbds+unix:///?socket=${socket}&tls-certificates=${pki}&tls-hostname=localhost`;

async function writeCertificates(folder: string): Promise<string> {
  await mkdir(folder);
  const authority = await makeAuthority();
  const server = await authority.issue({ names: ['localhost'] });
  await writeFile(join(folder, 'ca-cert.pem'), authority.certificate);
  await writeFile(join(folder, 'server-cert.pem'), server.certificate);
  await writeFile(join(folder, 'server-key.pem'), server.key);
  return folder;
}
