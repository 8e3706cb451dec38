import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyArchive } from '@vbackup/core';
import type { Contender, Contest, Cost } from './contest.js';
import { timeProgram, vbackup } from './program.js';
import { warm } from './raw-file.js';

const MiB = 1024 * 1024;
const GIB = 1024 * MiB;
const BLOCK_LENGTH = 4096;
const DEVICE = 'drive-scsi0';
/** Of the copy's time, with Node's start, the digests and the sync. */
const COPY_TARGET = { time: 1.3 };
/** For each GiB of the device, without Node's start. */
const HEADERS_SECONDS = 0.1;

/**
 * A raw image of 16 MiB each of random data, of zeros that are stored, of a hole, and of random and zero blocks in turn; and
 * archives of it. Commands are raced as they stand: with the start of Node, with the digests beside the archive, and with the
 * wait for the disk. Everything is gone when it is disposed.
 */
export class VmaBenchFile implements AsyncDisposable {
  readonly #folder: string;
  readonly #size: number;

  private constructor(folder: string, size: number) {
    this.#folder = folder;
    this.#size = size;
  }

  static async make(size: number): Promise<VmaBenchFile> {
    const bench = new VmaBenchFile(await mkdtemp(join(tmpdir(), 'vbackup-bench-')), size);
    await bench.#fill();
    await bench.#run(bench.#create('archive.vma'));
    return bench;
  }

  contests(): readonly Contest[] {
    const bytes = this.#size;
    const archive = this.#path('archive.vma');
    return [
      { name: 'raw to VMA', bytes, target: COPY_TARGET, peer: this.#copy(), ours: [this.#creation()] },
      { name: 'VMA to raw', bytes, target: COPY_TARGET, peer: this.#copy(), ours: [this.#extraction()] },
      {
        name: 'VMA headers',
        bytes,
        target: { seconds: (HEADERS_SECONDS * bytes) / GIB },
        peer: this.#copy(),
        ours: [
          { name: 'vbackup, verify, in a process', run: () => verifyHeaders(archive) },
          {
            name: 'vbackup vma verify --headers',
            run: () => this.#run(vbackup('vma', 'verify', '--headers', archive)),
          },
        ],
      },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }

  readonly #path = (name: string): string => join(this.#folder, name);

  #copy(): Contender {
    const script = 'cp --sparse=always --reflink=never "$1" "$2" && sync "$2"';
    return {
      name: 'cp --sparse=always, sync',
      run: () => this.#copied(['bash', '-c', script, 'bash', this.#path('source'), this.#path('target')]),
    };
  }

  #extraction(): Contender {
    const map = `${DEVICE}=${this.#path('target')}`;
    return {
      name: 'vbackup vma extract',
      run: () => this.#copied(vbackup('vma', 'extract', '--map', map, this.#path('archive.vma'))),
    };
  }

  #creation(): Contender {
    const path = this.#path('created.vma');
    return {
      name: 'vbackup vma create',
      run: async () => {
        await warm(this.#path('source'), this.#path('target'));
        const cost = await this.#run(this.#create('created.vma'));
        // Every byte is read, and the digests are those of the bytes that came: the source itself says that they are right.
        await this.#run(vbackup('vma', 'verify', path));
        await this.#run(vbackup('vma', 'extract', '--map', `${DEVICE}=${this.#path('target')}`, path));
        await this.#compare();
        await Promise.all([rm(path), rm(`${path}.sha256s`)]);
        return cost;
      },
    };
  }

  /** Times what makes the target, which must be the source then, byte by byte. */
  async #copied(words: readonly string[]): Promise<Cost> {
    await warm(this.#path('source'), this.#path('target'));
    const cost = await this.#run(words);
    await this.#compare();
    return cost;
  }

  #create(name: string): readonly string[] {
    return vbackup('vma', 'create', this.#path(name), '--device', `${DEVICE}=${this.#path('source')}`);
  }

  #run(words: readonly string[]): Promise<Cost> {
    return timeProgram(words, { environment: { VBACKUP_STATE: this.#path('state') } });
  }

  async #fill(): Promise<void> {
    const data = randomFillSync(Buffer.alloc(16 * MiB));
    const mixed = Buffer.from(data);
    for (let at = 0; at < mixed.length; at += 2 * BLOCK_LENGTH) mixed.fill(0, at, at + BLOCK_LENGTH);
    const parts = [data, Buffer.alloc(16 * MiB), null, mixed];
    await using file = await open(this.#path('source'), 'w');
    await file.truncate(this.#size);
    for (let offset = 0, index = 0; offset < this.#size; offset += 16 * MiB, index += 1) {
      const part = parts[index % parts.length];
      if (part instanceof Buffer) await file.write(part, 0, Math.min(part.length, this.#size - offset), offset);
    }
    await file.sync();
  }

  /** @throws Error unless what came out is the source */
  async #compare(): Promise<void> {
    execFileSync('cmp', [this.#path('source'), this.#path('target')]);
    await rm(this.#path('target'));
  }
}

/** As the command does it, without the start of Node. */
async function verifyHeaders(path: string): Promise<Cost> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const report = await verifyArchive({ path }, { mode: 'headers' });
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  if (report.damageCount > 0) throw new Error('the archive is damaged');
  return { seconds, cpuSeconds: (user + system) / 1e6 };
}
