import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Contender, Contest } from './contest.js';
import { FRAGMENT_LENGTH, RandomBytes, writeDiskOfFiles } from './data-sets.js';
import { digestOf, timeProgram, vbackup } from './program.js';
import { Servers } from './server.js';
import type { Scale, Suite } from './suite.js';

const MiB = 1024 * 1024;
const INCREMENTS = 10;
/** A full, and ten increments that replace all of it page by page: 8,192 frames of 64 KiB, twice what the cache keeps. */
const SCATTERED_SIZE = 512 * MiB;
/** Of the other chain, each increment changes one MiB in so many. */
const CHANGED_SHARE = 16;
const READER = fileURLToPath(new URL('./read-random.js', import.meta.url));
const READ_LENGTH = 4096;
const READS = 16_384;
/** 50 times what virtnbdmap reads at random from 8,192 frames, 0.6 MiB/s. */
const RANDOM_RATE = 30 * MiB;

/** Compressed chains of a full and ten increments, read through `vbackup serve`. */
export class ServeSuite implements Suite {
  readonly #folder: string;
  readonly #scale: Scale;
  readonly #servers: Servers;

  private constructor(folder: string, scale: Scale) {
    this.#folder = folder;
    this.#scale = scale;
    this.#servers = new Servers(folder);
  }

  static async make(scale: Scale): Promise<ServeSuite> {
    return new ServeSuite(await mkdtemp(join(tmpdir(), 'serve-')), scale);
  }

  async *contests(): AsyncGenerator<Contest> {
    const { size } = this.#scale;
    const whole = await this.#serve('whole', size, changedMebibytes);
    yield {
      name: 'read of a chain of 10 increments',
      bytes: size,
      target: { time: 2 },
      peer: this.#sequential('nbdcopy of nbdkit file', whole.file, whole.disk),
      ours: [this.#sequential('nbdcopy of vbackup serve', whole.served, whole.disk)],
    };
    const scattered = await this.#serve('scattered', Math.min(size, SCATTERED_SIZE), changedPages);
    await compare(scattered.served, scattered.disk);
    yield {
      name: 'random reads of 4 KiB in 8,192 frames',
      bytes: READS * READ_LENGTH,
      target: { seconds: (READS * READ_LENGTH) / RANDOM_RATE },
      peer: random('of nbdkit file', scattered.file),
      ours: [random('of vbackup serve', scattered.served)],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#servers[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Makes a disk and its chain, and shows the disk as it is last, as a file and as a backup. */
  async #serve(
    name: string,
    size: number,
    changes: (size: number, run: number) => Iterable<Change>,
  ): Promise<{ readonly disk: string; readonly file: string; readonly served: string }> {
    const disk = join(this.#folder, `${name}.raw`);
    const repository = join(this.#folder, name);
    await writeDiskOfFiles(disk, size);
    const runs = this.#scale.quick ? 1 : INCREMENTS;
    for (let run = 0; run <= runs; run += 1) {
      await using file = await open(disk, 'r+');
      if (run > 0) for (const { offset, bytes } of changes(size, run)) await file.write(bytes, 0, bytes.length, offset);
      await timeProgram(vbackup('backup', '-r', repository, '--hypervisor', 'file', disk));
    }
    return {
      disk,
      file: await this.#servers.nbdkit('-r', 'file', disk),
      served: await this.#servers.vbackupServe(`${disk}@latest`, '-r', repository),
    };
  }

  #sequential(name: string, uri: string, disk: string): Contender {
    let checked = false;
    return {
      name,
      run: async () => {
        if (!checked) await compare(uri, disk);
        checked = true;
        return timeProgram(['nbdcopy', uri, 'null:']);
      },
    };
  }
}

async function compare(uri: string, disk: string): Promise<void> {
  if ((await digestOf(['nbdcopy', uri, '-'])) === (await digestOf(['cat', disk]))) return;
  throw new Error(`${uri} has other bytes than the disk`);
}

interface Change {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** Whole MiB, other ones in each increment. */
function* changedMebibytes(size: number, run: number): Generator<Change> {
  const random = new RandomBytes(`increment ${run}`);
  for (let at = run; at < size / MiB; at += CHANGED_SHARE) {
    const half = random.take(MiB / 2);
    yield { offset: at * MiB, bytes: Buffer.concat([half, Buffer.alloc(MiB / 2, half.subarray(0, 64))]) };
  }
}

/** Single pages, other ones in each increment: each is a frame of its own. */
function* changedPages(size: number, run: number): Generator<Change> {
  const bytes = Buffer.alloc(512, run);
  for (let page = 0; page < size / FRAGMENT_LENGTH; page += 1) {
    // Neighbours never change together: they would be one frame.
    if (page % INCREMENTS !== run - 1) continue;
    yield { offset: page * FRAGMENT_LENGTH + 4096, bytes };
  }
}

const random = (name: string, uri: string): Contender => ({
  name: `random reads ${name}`,
  run: () => timeProgram([process.execPath, READER, uri, String(READS)]),
});
