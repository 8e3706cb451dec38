import { lstat, open, readdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { VBackupError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { ignoringMissing } from '../storage/durable.js';
import { systemCode, withIo } from '../storage/io-error.js';
import { FuseProgram, MOUNT_SOURCE } from './fuse-program.js';

/** One export, and what its file is to be called. */
export interface MountedDisk {
  readonly name: string;
  /** Of an export on a unix socket that this user can connect to. */
  readonly uri: string;
  readonly writable: boolean;
}

export interface MountOptions extends WithSignal {
  /** Exists. */
  readonly directory: string;
  readonly disks: readonly MountedDisk[];
  /** Of `mountFiles`: this file system alone, as guestmount names it (`/dev/sda1`, `/dev/vg/root`), not all of a guest's. */
  readonly filesystem?: string | undefined;
  /** Stands in for /dev/fuse in tests. */
  readonly device?: string | undefined;
}

/** Something that is shown in a folder until it is disposed of, or unmounted. */
export interface Mount extends AsyncDisposable {
  /** What can be opened now. */
  readonly paths: readonly string[];
  /** Settles when nothing of it is mounted any more. Never rejects. */
  readonly ended: Promise<void>;
}

/**
 * Shows every disk as the file `<name>.raw` in the folder, by nbdfuse. The files are there while they are mounted.
 * @throws VBackupError VB_FILE_NOT_FOUND, VB_TARGET_EXISTS, VB_MOUNT_MISSING, VB_MOUNT_FAILED
 */
export async function mountImages({ directory, disks, signal, device }: MountOptions): Promise<Mount> {
  const folder = await existingFolder(directory);
  const opened = new Opened();
  try {
    for (const disk of disks) {
      const path = join(folder, `${basename(disk.name.replaceAll('/', '-'))}.raw`);
      await using placeholder = await Placeholder.make(path);
      const access = disk.writable ? [] : ['--readonly'];
      const args = ['-o', `fsname=${MOUNT_SOURCE}`, ...access, path, disk.uri];
      opened.add(await FuseProgram.start({ program: 'nbdfuse', args, path, signal, device }), placeholder.keep());
    }
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
  return opened;
}

/**
 * Shows the file systems that guestmount finds on the disks, at their places in the guest, in the folder; or the one that is
 * named, whether a guest's system is on the disks or not.
 * @throws VBackupError VB_FILE_NOT_FOUND, VB_TARGET_EXISTS when the folder is not empty, VB_MOUNT_MISSING, VB_MOUNT_FAILED
 */
export async function mountFiles({ directory, disks, filesystem, signal, device }: MountOptions): Promise<Mount> {
  const path = await existingFolder(directory);
  if ((await readdir(path)).length > 0) {
    throw new VBackupError('VB_TARGET_EXISTS', `${path} is not empty`, { cure: 'name an empty folder' });
  }
  const writable = disks.some((disk) => disk.writable);
  const images = disks.flatMap(({ uri }) => ['--format=raw', '-a', guestfsUri(uri)]);
  const found = filesystem === undefined ? ['-i'] : ['-m', `${filesystem}:/`];
  const access = writable ? '--rw' : '--ro';
  const args = ['--no-fork', access, '-o', `fsname=${MOUNT_SOURCE}`, ...images, ...found, path];
  const opened = new Opened();
  opened.add(await FuseProgram.start({ program: 'guestmount', args, path, signal, device }), null);
  return opened;
}

/** libguestfs has one scheme for TCP and unix sockets: guestfish(1), "ADDING REMOTE STORAGE". */
const guestfsUri = (uri: string): string => uri.replace(/^nbd\+unix:/, 'nbd:');

/** What is mounted, in the order of mounting; it goes in the other. */
class Opened implements Mount {
  readonly #mounted: { readonly program: FuseProgram; readonly placeholder: string | null }[] = [];

  get paths(): readonly string[] {
    return this.#mounted.map(({ program }) => program.path);
  }

  get ended(): Promise<void> {
    return Promise.all(this.#mounted.map(({ program }) => program.ended)).then(() => undefined);
  }

  add(program: FuseProgram, placeholder: string | null): void {
    this.#mounted.push({ program, placeholder });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { program, placeholder } of this.#mounted.splice(0).toReversed()) {
      await program[Symbol.asyncDispose]();
      if (placeholder !== null) await removeEmpty(placeholder);
    }
  }
}

/** Nobody else makes files that can be written and not read: one that is empty was left by a mount that was killed. */
const PLACEHOLDER_MODE = 0o200;

/** An empty file to mount over, which nobody else made. */
class Placeholder implements AsyncDisposable {
  readonly #path: string;
  #kept = false;

  private constructor(path: string) {
    this.#path = path;
  }

  static async make(path: string): Promise<Placeholder> {
    return await withIo(`cannot make ${path}`, async () => {
      try {
        await using _made = await open(path, 'wx', PLACEHOLDER_MODE);
      } catch (error) {
        if (systemCode(error) !== 'EEXIST') throw error;
        if (await isPlaceholder(path)) return new Placeholder(path);
        const cure = `unmount what is there (vbackup umount), or remove ${path}, or name another folder`;
        throw new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cause: error, cure });
      }
      return new Placeholder(path);
    });
  }

  keep(): string {
    this.#kept = true;
    return this.#path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#kept) await removeEmpty(this.#path);
  }
}

async function isPlaceholder(path: string): Promise<boolean> {
  const found = await ignoringMissing(() => lstat(path));
  return found?.isFile() === true && found.size === 0 && found.mode % 0o1000 === PLACEHOLDER_MODE;
}

async function removeEmpty(path: string): Promise<void> {
  if (await isPlaceholder(path)) await rm(path, { force: true });
}

async function existingFolder(directory: string): Promise<string> {
  const found = await ignoringMissing(() => stat(directory));
  if (found?.isDirectory() === true) return await realpath(directory);
  throw new VBackupError('VB_FILE_NOT_FOUND', `${directory} is no folder`, { cure: `make it: mkdir ${directory}` });
}
