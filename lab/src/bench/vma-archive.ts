import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type BlockReader,
  copyDevice,
  copyDisk,
  newIdentity,
  openArchiveOutput,
  openFileReader,
  openFileTarget,
  openVmaArchive,
  type VmaArchive,
  VmaImageWriter,
  VmaWriter,
  verifyArchive,
} from '@vbackup/core';
import type { Contender, Contest, Cost } from './contest.js';
import { timeProgram } from './program.js';

const MiB = 1024 * 1024;
const BLOCK_LENGTH = 4096;
const DEVICE = 'drive-scsi0';
const GIB = 1024 * MiB;

/**
 * A raw image of 16 MiB each of random data, of zeros that are stored, of a hole, and of random and zero blocks in turn; and
 * archives of it. Everything is gone when it is disposed.
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
    await bench.#create(bench.#path('archive'));
    return bench;
  }

  /** All wait until what they wrote is on the disk. */
  contests(): readonly Contest[] {
    const bytes = this.#size;
    const copy = (): Contender => this.#copy();
    return [
      {
        name: 'raw to VMA (target ×1.30)',
        bytes,
        peer: copy(),
        ours: [this.#contender('create', () => this.#createOnce())],
      },
      {
        name: 'VMA to raw (target ×1.30)',
        bytes,
        peer: copy(),
        ours: [this.#contender('extract', () => this.#extractOnce())],
      },
      {
        name: `VMA headers (target ${(0.1 * bytes) / GIB} s)`,
        bytes,
        peer: copy(),
        ours: [this.#contender('verify', () => this.#verify())],
      },
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }

  readonly #path = (name: string): string => join(this.#folder, name);

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

  #copy(): Contender {
    const target = this.#path('target');
    const script = 'cp --sparse=always --reflink=never "$1" "$2" && sync "$2"';
    return {
      name: 'cp --sparse=always, sync',
      run: async () => {
        const cost = await timeProgram(['bash', '-c', script, 'bash', this.#path('source'), target]);
        await rm(target);
        return cost;
      },
    };
  }

  #contender(name: string, work: () => Promise<() => Promise<void>>): Contender {
    return {
      name: `vbackup, ${name}`,
      run: async (): Promise<Cost> => {
        const cpu = process.cpuUsage();
        const start = performance.now();
        const check = await work();
        const seconds = (performance.now() - start) / 1000;
        const { user, system } = process.cpuUsage(cpu);
        await check();
        return { seconds, cpuSeconds: (user + system) / 1e6 };
      },
    };
  }

  /** Both directions are compared with the source, byte by byte, where time is not measured. */
  async #createOnce(): Promise<() => Promise<void>> {
    const path = this.#path('created');
    await this.#create(path);
    return async () => {
      await this.#extract(path);
      await this.#compare();
      await rm(path);
    };
  }

  async #extractOnce(): Promise<() => Promise<void>> {
    await this.#extract(this.#path('archive'));
    return () => this.#compare();
  }

  async #create(path: string): Promise<void> {
    const size = this.#size;
    await using output = await openArchiveOutput({ path });
    const archive = { ...newIdentity(), configs: [], devices: [{ name: DEVICE, size }] };
    const writer = await VmaWriter.open(archive, output);
    await using reader = await openFileReader(this.#path('source'));
    await copyDisk({
      reader,
      writer: new VmaImageWriter(writer, DEVICE),
      size,
      extents: [{ offset: 0, length: size }],
    });
    await writer.close();
    await output.finish();
  }

  async #extract(path: string): Promise<void> {
    await using archive = await openVmaArchive(path);
    await using reader = readerOf(archive);
    const openTarget = openFileTarget(this.#path('target'));
    await copyDevice({ reader, openTarget, label: path });
  }

  async #verify(): Promise<() => Promise<void>> {
    const report = await verifyArchive({ path: this.#path('archive') }, { mode: 'headers' });
    if (report.damageCount > 0) throw new Error('the archive is damaged');
    return () => Promise.resolve();
  }

  /** @throws Error unless what was extracted is the source */
  async #compare(): Promise<void> {
    execFileSync('cmp', [this.#path('source'), this.#path('target')]);
    await rm(this.#path('target'));
  }
}

function readerOf(archive: VmaArchive): BlockReader {
  const [device] = archive.header.devices;
  if (device === undefined) throw new Error('the archive has no device');
  const image = archive.image(device);
  return {
    size: image.size,
    limits: { alignment: 1, maximumRequest: 4 * MiB, maximumInFlight: 4 },
    allocation: async function* (range) {
      yield* image.extents(range);
    },
    read: (offset, target) => image.read(offset, target),
    [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
  };
}
