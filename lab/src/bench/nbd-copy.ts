import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { copyDevice, openFileReader, openNbdTarget } from '@vbackup/core';
import type { Contender, Contest, Cost } from './contest.js';
import { timeProgram } from './program.js';

const MiB = 1024 * 1024;
/** A quarter of every such length is data. */
const STEP = 256 * MiB;
const START_TIMEOUT_MS = 15_000;
const CONNECTIONS = 2;
const COMMAND = fileURLToPath(new URL('../../../packages/cli/bin/vbackup.mjs', import.meta.url));

/** A sparse disk, and a server that keeps copies of it in memory; everything is gone when it is disposed. */
export class NbdCopyBench implements AsyncDisposable {
  readonly #folder: string;
  readonly #dataLength: number;
  readonly #server: ChildProcess;

  private constructor(folder: string, parts: { readonly dataLength: number; readonly server: ChildProcess }) {
    this.#folder = folder;
    this.#dataLength = parts.dataLength;
    this.#server = parts.server;
  }

  static async make(size: number): Promise<NbdCopyBench> {
    const folder = await mkdtemp(join(tmpdir(), 'vbackup-bench-'));
    const dataLength = await writeDisk(join(folder, 'disk.raw'), size);
    const words = ['-f', '-U', join(folder, 'nbd.sock'), '-P', join(folder, 'pid'), 'memory', String(size)];
    const server = spawn('nbdkit', words, { stdio: 'ignore' });
    const bench = new NbdCopyBench(folder, { dataLength, server });
    const signal = AbortSignal.timeout(START_TIMEOUT_MS);
    while (!existsSync(join(folder, 'pid'))) {
      if (server.exitCode !== null) throw new Error(`nbdkit ended with ${server.exitCode}`);
      await delay(10, undefined, { signal });
    }
    return bench;
  }

  /** The command starts Node and loads the program, which nbdcopy need not: the calls alone are shown beside it. */
  contests(): readonly Contest[] {
    const [disk, copy, uri] = [this.#path('disk.raw'), this.#path('copy.raw'), this.#uri];
    return [
      {
        name: 'sparse file to nbdkit (memory)',
        bytes: this.#dataLength,
        peer: this.#toServer('nbdcopy', () => timeProgram(['nbdcopy', '--flush', disk, uri])),
        ours: [
          this.#toServer('vbackup copy', () => timeProgram([process.execPath, COMMAND, 'copy', disk, uri])),
          this.#toServer('vbackup, the call', () => this.#copyToServer()),
        ],
      },
      {
        name: 'nbdkit (memory) to a file, synced',
        bytes: this.#dataLength,
        peer: this.#toFile('nbdcopy', () => timeProgram(['nbdcopy', '--flush', uri, copy])),
        ours: [this.#toFile('vbackup copy', () => timeProgram([process.execPath, COMMAND, 'copy', uri, copy]))],
      },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.exitCode === null && this.#server.signalCode === null) {
      const ended = once(this.#server, 'exit');
      this.#server.kill('SIGKILL');
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #uri(): string {
    return `nbd+unix:///?socket=${this.#path('nbd.sock')}`;
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  /** What the server has of the run before is garbage first, so that nothing but this copy can make it right. */
  #toServer(name: string, copy: () => Promise<Cost>): Contender {
    return {
      name,
      run: async () => {
        await this.#spoil();
        const cost = await copy();
        execFileSync('nbdcopy', [this.#uri, this.#path('check.raw')]);
        execFileSync('cmp', [this.#path('disk.raw'), this.#path('check.raw')]);
        return cost;
      },
    };
  }

  #toFile(name: string, copy: () => Promise<Cost>): Contender {
    return {
      name,
      run: async () => {
        await rm(this.#path('copy.raw'), { force: true });
        const cost = await copy();
        execFileSync('cmp', [this.#path('disk.raw'), this.#path('copy.raw')]);
        return cost;
      },
    };
  }

  /** Fills the head of every region, data and zeros, with other bytes. */
  async #spoil(): Promise<void> {
    const target = await openNbdTarget(this.#uri)({ size: 0, data: [], label: 'the bench' });
    try {
      const garbage = Buffer.alloc(MiB, 255);
      for (let offset = 0; offset < target.size; offset += STEP / 8) {
        await target.write(offset, garbage.subarray(0, Math.min(MiB, target.size - offset)));
      }
    } finally {
      await target[Symbol.asyncDispose]();
    }
  }

  async #copyToServer(): Promise<Cost> {
    const before = process.cpuUsage();
    const started = performance.now();
    await using reader = await openFileReader(this.#path('disk.raw'));
    await copyDevice({ reader, openTarget: openNbdTarget(this.#uri, { connections: CONNECTIONS }), label: 'the disk' });
    const seconds = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(before);
    return { seconds, cpuSeconds: (user + system) / 1e6 };
  }
}

async function writeDisk(path: string, size: number): Promise<number> {
  const data = randomFillSync(Buffer.alloc(STEP / 4));
  await using file = await open(path, 'w');
  await file.truncate(size);
  let dataLength = 0;
  for (let offset = 0; offset < size; offset += STEP) {
    dataLength += (await file.write(data, 0, Math.min(data.length, size - offset), offset)).bytesWritten;
  }
  return dataLength;
}
