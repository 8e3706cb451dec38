import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeAuthority } from '../pki/index.js';
import { digestOf } from './program.js';

const CHUNK_LENGTH = 16 * 1024 * 1024;
const START_TIMEOUT_MS = 15_000;

/** A disk of random bytes that real servers show; everything is gone when it is disposed. */
export class BenchDisk implements AsyncDisposable {
  readonly bytes: number;
  readonly #folder: string;
  readonly #servers: ChildProcess[] = [];

  private constructor(folder: string, bytes: number) {
    this.#folder = folder;
    this.bytes = bytes;
  }

  static async make(bytes: number): Promise<BenchDisk> {
    const disk = new BenchDisk(await mkdtemp(join(tmpdir(), 'vbackup-bench-')), bytes);
    await using file = await open(disk.#path('disk.raw'), 'w');
    const chunk = randomBytes(CHUNK_LENGTH);
    for (let offset = 0; offset < bytes; offset += chunk.length) {
      await file.write(chunk, 0, Math.min(chunk.length, bytes - offset), offset);
    }
    return disk;
  }

  /** SHA-256 of the disk. */
  digest(): Promise<string> {
    return digestOf(['cat', this.#path('disk.raw')]);
  }

  /** @returns the URI of a read-only export over a unix socket */
  nbdkit(): Promise<string> {
    const words = (socket: string, pid: string) => [
      '-f',
      '-r',
      '-U',
      socket,
      '-P',
      pid,
      'file',
      this.#path('disk.raw'),
    ];
    return this.#start('nbdkit', words);
  }

  qemuNbd(): Promise<string> {
    return this.#start('qemu-nbd', (socket, pid) => {
      return ['-r', '-t', '-e', '16', '-f', 'raw', '-k', socket, `--pid-file=${pid}`, this.#path('disk.raw')];
    });
  }

  /** @returns the URI of the same in TLS; authority and name are checked */
  async nbdkitTls(): Promise<string> {
    const pki = this.#path('pki');
    await mkdir(pki);
    const authority = await makeAuthority();
    const server = await authority.issue({ names: ['localhost'] });
    await writeFile(join(pki, 'ca-cert.pem'), authority.certificate);
    await writeFile(join(pki, 'server-cert.pem'), server.certificate);
    await writeFile(join(pki, 'server-key.pem'), server.key);
    const socket = this.#path('tls.sock');
    const words = ['-f', '-r', '-U', socket, '--tls=require', `--tls-certificates=${pki}`, '-P', this.#path('tls.pid')];
    await this.#launch('nbdkit', [...words, 'file', this.#path('disk.raw')], this.#path('tls.pid'));
    return `nbds+unix:///?socket=${socket}&tls-certificates=${pki}&tls-hostname=localhost`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      if (server.exitCode !== null || server.signalCode !== null) continue;
      const ended = once(server, 'exit');
      server.kill('SIGKILL');
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #start(program: string, words: (socket: string, pid: string) => string[]): Promise<string> {
    const socket = this.#path(`${program}.sock`);
    const pid = this.#path(`${program}.pid`);
    await this.#launch(program, words(socket, pid), pid);
    return `nbd+unix:///?socket=${socket}`;
  }

  /** Waits for the file that the server writes when it takes connections. */
  async #launch(program: string, words: readonly string[], pid: string): Promise<void> {
    const server = spawn(program, words, { stdio: 'ignore' });
    this.#servers.push(server);
    const signal = AbortSignal.timeout(START_TIMEOUT_MS);
    while (!existsSync(pid)) {
      if (server.exitCode !== null) throw new Error(`${program} ended with ${server.exitCode}`);
      await delay(10, undefined, { signal });
    }
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}
