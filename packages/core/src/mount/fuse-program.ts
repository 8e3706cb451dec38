import type { ChildProcess } from 'node:child_process';
import { access, constants, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { VBackupError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { findInPath, type QemuProcess, spawnBound } from '../qemu/program.js';
import { LastWords } from '../qemu/qemu-words.js';
import { type MountEntry, parseMountTable } from './mount-table.js';

const POLL_MS = 20;
/** guestmount starts a small machine, which takes a while. */
const START_TIMEOUT_MS = 300_000;
/** Who is asked to end writes back what it holds; guestmount shuts its machine down. */
const END_TIMEOUT_MS: Readonly<Record<MountProgram, number>> = { nbdfuse: 20_000, guestmount: 120_000 };
const FUSE_DEVICE = '/dev/fuse';

/** Mounts of ours have this as their source, so that `umount` ends no others. */
export const MOUNT_SOURCE = 'vbackup';

/** How to get a program that is not there. */
const PACKAGES: Readonly<Record<MountProgram, string>> = {
  nbdfuse: 'on Debian: apt install libnbd-bin fuse3; on Fedora: dnf install nbdfuse',
  guestmount: 'on Debian: apt install guestmount; on Fedora: dnf install guestfs-tools',
};

const CURE = 'look at what the program says; without the rights of root FUSE needs fusermount3, from the package fuse3';

/** What guestmount (1.48) says at length. */
const MEANINGS = [
  {
    words: /guestfs_launch failed|supermin exited/,
    text: 'the machine that reads the disks (the appliance of libguestfs) does not start',
    cure:
      'see what libguestfs-test-tool says; where KVM cannot be used, inside of another machine, set ' +
      'LIBGUESTFS_BACKEND_SETTINGS=force_tcg; mount without --files needs no such machine',
  },
  {
    words: /no operating system was found/,
    text: 'no operating system was found on these disks',
    cure: 'name the file system that is wanted (--filesystem /dev/sda1); a name that is not there is answered with those that are',
  },
] as const;

export type MountProgram = 'nbdfuse' | 'guestmount';

export interface FuseProgramOptions extends WithSignal {
  readonly program: MountProgram;
  readonly args: readonly string[];
  /** What it mounts over, as the mount table will name it: absolute, without links. */
  readonly path: string;
  /** Default /dev/fuse. */
  readonly device?: string | undefined;
}

/**
 * A program that shows something in a folder or a file while it runs. It gives the mount up when it is disposed of, and when
 * this process ends, however that is; when somebody unmounts it, it ends by itself.
 */
export class FuseProgram implements AsyncDisposable {
  readonly path: string;
  /** Settles when it does not run any more. Never rejects. */
  readonly ended: Promise<string>;
  readonly #program: MountProgram;
  readonly #child: ChildProcess;
  readonly #words = new LastWords();
  #end: string | undefined;

  private constructor({ child, ended }: QemuProcess, { program, path }: FuseProgramOptions) {
    this.#program = program;
    this.path = path;
    this.#child = child;
    child.stderr?.on('data', (chunk: Buffer) => this.#words.push(chunk));
    this.ended = ended.then((end) => {
      this.#end = end;
      return end;
    });
  }

  /**
   * Starts it, and waits until the mount is there.
   * @throws VBackupError VB_MOUNT_MISSING, VB_MOUNT_FAILED
   */
  static async start(options: FuseProgramOptions): Promise<FuseProgram> {
    const { program, args, signal } = options;
    signal?.throwIfAborted();
    const found = await findInPath(program);
    if (found === undefined) {
      throw new VBackupError('VB_MOUNT_MISSING', `${program} is not installed, or not in PATH`, {
        cure: `install it; ${PACKAGES[program]}`,
      });
    }
    await checkDevice(options.device ?? FUSE_DEVICE);
    const stdio = ['ignore', 'ignore', 'pipe'] as const;
    const child = await spawnBound([found, ...args], {
      stdio: [...stdio],
      env: guestfsSettings(),
      deathSignal: 'TERM',
    });
    const running = new FuseProgram(child, options);
    try {
      await running.#mounted(signal);
    } catch (error) {
      await running[Symbol.asyncDispose]();
      throw error;
    }
    return running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end === undefined) {
      await this.#ask();
      await Promise.race([this.ended, delay(END_TIMEOUT_MS[this.#program], undefined, { ref: false })]);
      this.#child.kill('SIGKILL');
      await this.ended;
    }
    if (await isMounted(this.path)) await detach(this.path, { lazy: true });
  }

  /** Asks it to end, also while what it shows is in use. */
  async #ask(): Promise<void> {
    // A signal ends guestmount at once, and what its machine did not write yet is lost: it has to see the mount go. nbdfuse
    // unmounts when it gets the signal, and what is in use is gone when that ends.
    if (this.#program === 'guestmount' && (await isMounted(this.path))) {
      try {
        await detach(this.path, { lazy: true });
        return;
      } catch {
        // Nobody can unmount here: it has to end all the same. Whether its mount went with it is looked at afterwards.
      }
    }
    this.#child.kill('SIGTERM');
  }

  async #mounted(signal: AbortSignal | undefined): Promise<void> {
    const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
    while (!(await isMounted(this.path))) {
      signal?.throwIfAborted();
      if (this.#end !== undefined) throw this.#refusal(this.#end);
      if (deadline.aborted) throw this.#refusal(`nothing for ${START_TIMEOUT_MS / 1000} seconds`);
      await delay(POLL_MS);
    }
  }

  #refusal(end: string): VBackupError {
    const program = this.#program;
    const said = this.#words.text(program);
    const { text, cure } = MEANINGS.find(({ words }) => words.test(said)) ?? {
      text: said === '' ? end : said,
      cure: CURE,
    };
    return new VBackupError('VB_MOUNT_FAILED', `${program} cannot mount ${this.path}: ${text}`, { cure });
  }
}

/** What libguestfs and supermin are told by the environment: guestfs(3), "ENVIRONMENT VARIABLES". */
const guestfsSettings = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => /^(LIBGUESTFS|SUPERMIN|XDG)_|^(HOME|TMPDIR)$/.test(name)),
  );

async function checkDevice(device: string): Promise<void> {
  try {
    await access(device, constants.R_OK + constants.W_OK);
  } catch (cause) {
    throw new VBackupError('VB_MOUNT_MISSING', `FUSE cannot be used: ${device} is not there, or not for this user`, {
      cause,
      cure: 'load the module (modprobe fuse), or let the container have the device; serve works without it',
    });
  }
}

export async function mountTable(): Promise<MountEntry[]> {
  return parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
}

async function isMounted(path: string): Promise<boolean> {
  return (await mountTable()).some((entry) => entry.path === path && entry.source === MOUNT_SOURCE);
}

/**
 * Takes a mount away; `lazy` also one that is in use, which is gone when that ends.
 * @throws VBackupError VB_MOUNT_FAILED
 */
export async function detach(path: string, { lazy = false }: { readonly lazy?: boolean } = {}): Promise<void> {
  const ways: readonly (readonly [string, readonly string[]])[] = [
    ['fusermount3', lazy ? ['-u', '-z'] : ['-u']],
    ['umount', lazy ? ['-l'] : []],
  ];
  let said = 'neither fusermount3 nor umount is there';
  for (const [program, args] of process.getuid?.() === 0 ? ways.toReversed() : ways) {
    const found = await findInPath(program);
    if (found === undefined) continue;
    const stdio = ['ignore', 'ignore', 'pipe'] as const;
    const { child, ended } = await spawnBound([found, ...args, path], { stdio: [...stdio], deathSignal: undefined });
    const words = new LastWords();
    child.stderr?.on('data', (chunk: Buffer) => words.push(chunk));
    const end = await ended;
    if (end === 'exit code 0') return;
    said = words.text(program) === '' ? `${program}: ${end}` : words.text(program);
  }
  throw new VBackupError('VB_MOUNT_FAILED', `cannot unmount ${path}: ${said}`, {
    cure: 'end the programs that use it (fuser -vm shows them), then try again',
  });
}
