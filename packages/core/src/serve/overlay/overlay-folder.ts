import { createHash } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { acquireLock, type HeldLock } from '../../backup/repository/lock.js';
import { DESCRIPTION_NAME } from '../../backup/repository/open-repository.js';
import { VBackupError } from '../../errors/index.js';
import { ignoringMissing, makeDirectory, PARTIAL_SUFFIX, syncDirectory } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import type { ServedDisk } from '../served-disk.js';
import { formatOverlay, Overlay } from './overlay.js';
import { OverlayDisk } from './overlay-disk.js';
import { damaged, layoutOf, type OverlayBase } from './overlay-format.js';
import { fileStore } from './overlay-store.js';

const SUFFIX = '.overlay';
const LONGEST_NAME = 200;
/** A server does not end by itself: nobody should wait for it. */
const END_OR_MOVE = 'end that server, or name another folder for what is written';

/** What an overlay is found by, however its disk is shown to clients. */
export interface OverlayKey {
  /** What the bytes beneath are, and stay: the id of a backup, a file of such a length and time. */
  readonly identity: string;
  /** Of the disk; its file is named by it. */
  readonly name: string;
}

/**
 * A folder with one overlay for each disk that is served writable. It belongs to one process at a time; disposing lets
 * go of it, after the disks of it were closed.
 */
export class OverlayFolder implements AsyncDisposable {
  readonly path: string;
  readonly #lock: HeldLock;
  readonly #used = new Set<string>();

  private constructor(path: string, lock: HeldLock) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Makes the folder if it is not there.
   * @throws VBackupError VB_OVERLAY_LOCKED when another process has it, VB_INVALID_ARGUMENT for a repository, VB_IO
   */
  static async open(path: string): Promise<OverlayFolder> {
    await makeDirectory(path);
    const repository = await withIo(`cannot look at ${path}`, () =>
      ignoringMissing(() => stat(join(path, DESCRIPTION_NAME))),
    );
    if (repository !== null) {
      const cure = 'name a folder of its own for the overlay';
      throw new VBackupError('VB_INVALID_ARGUMENT', `${path} is a repository`, { cure });
    }
    try {
      return new OverlayFolder(path, await acquireLock(path, { wait: END_OR_MOVE }));
    } catch (cause) {
      if (!(cause instanceof VBackupError) || cause.code !== 'VB_REPOSITORY_LOCKED') throw cause;
      throw new VBackupError('VB_OVERLAY_LOCKED', cause.message, { cause, cure: cause.cure ?? END_OR_MOVE });
    }
  }

  /**
   * The disk with what was written to it before, or a new overlay. The disk is the result's to close from then on.
   * @throws VBackupError VB_INVALID_ARGUMENT for a second disk of one name, VB_OVERLAY_OTHER, VB_OVERLAY_DAMAGED, VB_NO_SPACE, VB_ACCESS_DENIED, VB_IO
   */
  async layOver(disk: ServedDisk, { identity, name }: OverlayKey): Promise<ServedDisk> {
    const base = { id: identity, disk: name, size: disk.size };
    const path = join(this.path, fileNameOf(name));
    if (this.#used.has(path)) {
      const cure = 'serve one of them with a folder of its own';
      throw new VBackupError('VB_INVALID_ARGUMENT', `two disks would be written to ${path}`, { cure });
    }
    this.#used.add(path);
    if ((await ignoringMissing(() => stat(path))) === null) await create(path, base);
    return new OverlayDisk(disk, await openOverlay(path, base));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock[Symbol.asyncDispose]();
  }
}

/** Whole or not at all. */
async function create(path: string, base: OverlayBase): Promise<void> {
  const partial = `${path}${PARTIAL_SUFFIX}`;
  await withIo(`cannot make ${path}`, async () => {
    try {
      const file = await open(partial, 'w+', 0o600);
      await using store = await fileStore(file, partial);
      await file.truncate(layoutOf(base.size).fileLength);
      await formatOverlay(store, base);
      await file.sync();
      await rename(partial, path);
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
    await syncDirectory(dirname(path));
  });
}

async function openOverlay(path: string, base: OverlayBase): Promise<Overlay> {
  const file = await withIo(`cannot open ${path}`, () => open(path, 'r+'));
  const store = await fileStore(file, path);
  try {
    const overlay = await Overlay.open(store, base);
    const { size } = await file.stat();
    const expected = layoutOf(base.size).fileLength;
    if (size !== expected) throw damaged(`${path} has ${size} bytes, not ${expected}`);
    return overlay;
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

/** A file name for any name of a disk; people read it, the header says what it is. */
function fileNameOf(disk: string): string {
  const name = encodeURIComponent(disk);
  if (name.length <= LONGEST_NAME) return `${name}${SUFFIX}`;
  return `${name.slice(0, LONGEST_NAME - 64)}${createHash('sha256').update(disk).digest('hex')}${SUFFIX}`;
}
