import { execFileSync } from 'node:child_process';
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Contest } from './contest.js';
import { RandomBytes, writeDiskOfFiles } from './data-sets.js';
import { PYTHON, timeProgram, vbackup } from './program.js';
import { emptyFolder } from './stream.js';
import type { Scale, Suite } from './suite.js';

const MiB = 1024 * 1024;
const PEER = fileURLToPath(new URL('../../virtnbdrestore-awake.py', import.meta.url));
/** Each increment changes one MiB in so many. */
const CHANGED_SHARE = 16;
const INCREMENTS = 2;
const UNLOCK_TIMEOUT_MS = 10_000;

/** A chain of a full and two increments, LZ4, that is restored and verified. */
export class RestoreSuite implements Suite {
  readonly #folder: string;
  readonly #size: number;

  private constructor(folder: string, size: number) {
    this.#folder = folder;
    this.#size = size;
  }

  static async make({ size }: Scale): Promise<RestoreSuite> {
    const suite = new RestoreSuite(await mkdtemp(join(tmpdir(), 'restore-')), size);
    const disk = suite.#path('disk.raw');
    await writeDiskOfFiles(disk, size);
    await emptyFolder(suite.#path('repository'));
    for (let run = 0; run <= INCREMENTS; run += 1) {
      if (run > 0) await change(disk, `increment ${run}`);
      await timeProgram(vbackup('backup', '-r', suite.#path('repository'), '--hypervisor', 'file', disk));
    }
    return suite;
  }

  async *contests(): AsyncGenerator<Contest> {
    const repository = this.#path('repository');
    const disk = this.#path('disk.raw');
    const chain = await chainOf(repository);
    const out = this.#path('out');
    const options = ['-U', 'test:///default', '-f', this.#path('nbd.sock'), '--noprogress'];
    const logs = ['--logfile', this.#path('restore.log')];
    const bytes = this.#size;
    const restored = this.#path('restored.raw');
    const peer = {
      name: 'virtnbdrestore',
      run: async () => {
        await rm(out, { recursive: true, force: true });
        const cost = await timeProgram([PYTHON, PEER, ...options, ...logs, '-i', chain, '-o', out]);
        await compareImage(out, disk);
        return cost;
      },
    };
    yield {
      name: 'restore of an LZ4 chain to raw',
      bytes,
      target: { time: 0.5 },
      peer,
      ours: [
        {
          name: 'vbackup restore',
          run: async () => {
            await rm(restored, { force: true });
            const cost = await timeProgram(vbackup('restore', '-r', repository, `${disk}@latest`, restored));
            execFileSync('cmp', [disk, restored]);
            return cost;
          },
        },
      ],
    };
    yield {
      name: 'verify of an LZ4 chain',
      bytes,
      peer,
      ours: [{ name: 'vbackup verify', run: () => timeProgram(vbackup('verify', '-r', repository)) }],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  readonly #path = (name: string): string => join(this.#folder, name);
}

async function change(disk: string, name: string): Promise<void> {
  const random = new RandomBytes(name);
  await using file = await open(disk, 'r+');
  const { size } = await file.stat();
  for (let at = 0; at < size; at += CHANGED_SHARE * MiB) {
    const bytes = random.take(Math.min(MiB, size - at));
    await file.write(bytes, 0, bytes.length, at);
  }
  await file.sync();
}

/** The one folder that virtnbdrestore can read. */
async function chainOf(repository: string): Promise<string> {
  const names = await readdir(repository, { recursive: true });
  const stream = names.find((name) => name.endsWith('.full.data'));
  if (stream === undefined) throw new Error(`${repository} holds no stream`);
  return dirname(join(repository, stream));
}

/** The peer ends a little before its qemu-nbd has closed the image. @throws Error unless it holds the disk */
async function compareImage(folder: string, disk: string): Promise<void> {
  const [image] = (await readdir(folder)).filter((name) => name.endsWith('.qcow2') || name.endsWith('.raw'));
  const signal = AbortSignal.timeout(UNLOCK_TIMEOUT_MS);
  for (;;) {
    try {
      execFileSync('qemu-img', ['compare', '-F', 'raw', join(folder, image ?? 'nothing'), disk], { stdio: 'pipe' });
      return;
    } catch (error) {
      if (!String(error).includes('lock')) throw error;
      await delay(50, undefined, { signal });
    }
  }
}
