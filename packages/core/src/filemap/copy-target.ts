import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, link, lstat, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VBackupError } from '../errors/index.js';
import { ignoringMissing, PARTIAL_SUFFIX, syncDirectory } from '../storage/durable.js';
import { systemCode, withIo } from '../storage/io-error.js';
import { RestoreNote } from '../storage/restore-note.js';
import { claimFile } from './claim-file.js';
import { deviceSize } from './device-size.js';
import type { Libc } from './libc.js';
import type { ExistingMode } from './sparse-copy-job.js';

/** Permissions of a new file whose source is no file: nobody else could read that. */
const PRIVATE_MODE = 0o600;

/** No file system has smaller blocks. */
const SECTOR_LENGTH = 512;

export interface CopyTargetOptions {
  readonly existing: ExistingMode;
  /** The file or device that is copied: never the target itself. Null where the bytes come from elsewhere. */
  readonly source: BigIntStats | null;
  /** Where the copy begins in the target, and where it ends. */
  readonly offset: number;
  readonly end: number;
  readonly libc: Libc | null;
  /** What to do where the target exists and must not. */
  readonly cureIfExists?: string | undefined;
}

/** A file or device that is copied to. Unless it is finished, dispose removes a new file again. */
export interface CopyTarget extends AsyncDisposable {
  readonly path: string;
  /** Open for reading and writing. */
  readonly file: FileHandle;
  readonly isBlockDevice: boolean;
  /** Whether what is never written within the copy reads as zero. */
  readonly isFresh: boolean;
  /** What the file system allocates at once; of a device, what stat(2) says. */
  readonly blockLength: number;
  /** Makes the bytes durable. */
  sync(): Promise<void>;
  /** Makes everything durable, if `fsync`, and gives a new file its name. */
  finish(options: { readonly fsync: boolean }): Promise<void>;
}

/**
 * Opens the target; what exists is changed only where `existing` says so.
 * @throws VBackupError VB_TARGET_EXISTS, VB_TARGET_INVALID, VB_TARGET_TOO_SMALL, VB_FILE_SAME, VB_IMAGE_LOCKED, VB_NO_SPACE,
 * VB_ACCESS_DENIED
 */
export async function openCopyTarget(path: string, options: CopyTargetOptions): Promise<CopyTarget> {
  const look = (): Promise<BigIntStats> => stat(path, { bigint: true });
  const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(look));
  if (found === null) return openNew(path, options, null);
  refuseSame(path, found, options.source);
  if (found.isBlockDevice()) return openInPlace(path, options);
  if (!found.isFile()) throw new VBackupError('VB_TARGET_INVALID', `${path} is neither a file nor a block device`);
  switch (options.existing) {
    case 'refuse':
      throw exists(path, options);
    case 'replace':
      return openNew(await withIo(`cannot look at ${path}`, () => realpath(path)), options, found);
    case 'truncate':
    case 'overwrite':
      return openInPlace(path, options);
  }
}

function exists(
  path: string,
  { cureIfExists }: Pick<CopyTargetOptions, 'cureIfExists'>,
  cause?: unknown,
): VBackupError {
  const cure = cureIfExists ?? 'name another file, or say that it be replaced';
  return new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cure, cause });
}

/** @throws VBackupError VB_FILE_SAME */
function refuseSame(path: string, target: BigIntStats, source: BigIntStats | null): void {
  if (source === null) return;
  const sameFile = target.dev === source.dev && target.ino === source.ino;
  const sameDevice = target.isBlockDevice() && source.isBlockDevice() && target.rdev === source.rdev;
  if (!sameFile && !sameDevice) return;
  throw new VBackupError('VB_FILE_SAME', `${path} is what would be copied`, { cure: 'name another target' });
}

async function openNew(path: string, options: CopyTargetOptions, replaced: BigIntStats | null): Promise<CopyTarget> {
  const partial = path + PARTIAL_SUFFIX;
  return withIo(`cannot make ${path}`, async () => {
    await refuseLink(path);
    const leftover = await ignoringMissing(() => lstat(partial, { bigint: true }));
    if (leftover !== null) refuseSame(partial, leftover, options.source);
    if (leftover?.isFile() === true && !(await isLeft(partial, options.libc))) {
      const cure = 'let that one finish, or end it, before this is run again';
      throw new VBackupError('VB_IMAGE_LOCKED', `another vbackup is writing ${partial}`, { cure });
    }
    // What a dead run left: it counts for nothing.
    await rm(partial, { force: true });
    // As private as the file that is replaced, from the beginning.
    const file = await open(partial, 'wx+', replaced === null ? permissions(options.source) : PRIVATE_MODE);
    try {
      claimFile(options.libc, file);
      if (replaced !== null) await file.chmod(permissions(replaced));
      await file.truncate(options.end);
      const made = await file.stat({ bigint: true });
      const blockLength = blockLengthOf(file, made, options.libc);
      const replaces = replaced !== null;
      const { cureIfExists } = options;
      return new OpenCopyTarget({ path, partial, file, made, blockLength, isFresh: true, replaces, cureIfExists });
    } catch (error) {
      await file.close();
      await rm(partial, { force: true });
      throw error;
    }
  });
}

/** Whether nobody writes to an unfinished file any more. */
async function isLeft(partial: string, libc: Libc | null): Promise<boolean> {
  try {
    await using file = await open(partial, 'r+');
    return claimFile(libc, file);
  } catch {
    // It went away, or cannot be opened: to remove it is tried all the same.
    return true;
  }
}

/** The read and write permissions of a file; the umask is taken off when a file is made with them. */
const permissions = (of: BigIntStats | null): number =>
  of?.isFile() === true ? Number(of.mode % 0o1000n) : PRIVATE_MODE;

/** A link that points nowhere would be replaced by the copy: nobody wants that. */
async function refuseLink(path: string): Promise<void> {
  const found = await ignoringMissing(() => lstat(path));
  if (found?.isSymbolicLink() !== true) return;
  throw new VBackupError('VB_TARGET_INVALID', `${path} is a symbolic link to a file that does not exist`);
}

async function openInPlace(path: string, options: CopyTargetOptions): Promise<CopyTarget> {
  return withIo(`cannot open ${path}`, async () => {
    const file = await openForWriting(path);
    try {
      const made = await file.stat({ bigint: true });
      refuseSame(path, made, options.source);
      if (made.isBlockDevice()) await checkDevice(path, file, options);
      else await setLength(file, Number(made.size), options);
      const isFresh = made.isFile() && options.existing === 'truncate';
      const blockLength = blockLengthOf(file, made, options.libc);
      return new OpenCopyTarget({ path, partial: null, file, made, blockLength, isFresh, replaces: true });
    } catch (error) {
      await file.close();
      throw error;
    }
  });
}

async function openForWriting(path: string): Promise<FileHandle> {
  const isDevice = (await stat(path)).isBlockDevice();
  // O_EXCL on a block device: refused while it is mounted or in use (open(2)).
  const flags = constants.O_RDWR + (isDevice ? constants.O_EXCL : 0);
  try {
    return await open(path, flags);
  } catch (error) {
    if (systemCode(error) !== 'EBUSY') throw error;
    const cure = 'unmount it, or stop what uses it';
    throw new VBackupError('VB_TARGET_INVALID', `${path} is in use`, { cause: error, cure });
  }
}

async function checkDevice(path: string, file: FileHandle, { end, libc }: CopyTargetOptions): Promise<void> {
  const size = await deviceSize(file, libc);
  if (size >= end) return;
  throw new VBackupError('VB_TARGET_TOO_SMALL', `${path} has ${size} bytes, the copy ends at byte ${end}`);
}

async function setLength(file: FileHandle, size: number, { existing, offset, end }: CopyTargetOptions): Promise<void> {
  if (existing === 'truncate' && size > offset) await file.truncate(offset);
  if (existing === 'truncate' || size < end) await file.truncate(end);
}

/** st_blksize is a hint: it is 4096 on an xfs with blocks of 1 KiB, and 1 MiB on some network file systems. */
function blockLengthOf(file: FileHandle, made: BigIntStats, libc: Libc | null): number {
  try {
    const length = made.isFile() ? libc?.blockSize(file) : undefined;
    if (length !== undefined && length >= SECTOR_LENGTH) return length;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
  return Number(made.blksize);
}

interface CopyTargetShape {
  readonly path: string;
  /** The name of a new file until it is finished. */
  readonly partial: string | null;
  readonly file: FileHandle;
  readonly made: BigIntStats;
  readonly blockLength: number;
  readonly isFresh: boolean;
  readonly replaces: boolean;
  readonly cureIfExists?: string | undefined;
}

class OpenCopyTarget implements CopyTarget {
  readonly path: string;
  readonly file: FileHandle;
  readonly isBlockDevice: boolean;
  readonly isFresh: boolean;
  readonly blockLength: number;
  readonly #shape: CopyTargetShape;
  #state: 'open' | 'finished' | 'closed' = 'open';

  constructor(shape: CopyTargetShape) {
    this.path = shape.path;
    this.file = shape.file;
    this.isBlockDevice = shape.made.isBlockDevice();
    this.isFresh = shape.isFresh;
    this.blockLength = shape.blockLength;
    this.#shape = shape;
  }

  async sync(): Promise<void> {
    await withIo(`cannot sync ${this.path}`, () => this.file.sync());
  }

  async finish({ fsync }: { readonly fsync: boolean }): Promise<void> {
    const { path, partial } = this.#shape;
    await withIo(`cannot finish ${path}`, async () => {
      if (fsync) await this.sync();
      if (partial === null) return;
      await this.#publish(partial);
      // It was about the file that is replaced.
      if (this.#shape.replaces) await RestoreNote.forget(path);
      if (fsync) await syncDirectory(dirname(path));
    });
    this.#state = 'finished';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'closed') return;
    const { partial } = this.#shape;
    const unfinished = this.#state === 'open';
    this.#state = 'closed';
    try {
      // Before it is closed: afterwards another file may have its inode number.
      if (unfinished && partial !== null && (await this.#isOurs(partial))) await rm(partial, { force: true });
    } finally {
      await this.file.close();
    }
  }

  /** Another copy to the same target takes the name away, as it would from a dead one. */
  async #isOurs(partial: string): Promise<boolean> {
    const found = await ignoringMissing(() => lstat(partial, { bigint: true }));
    return found !== null && found.dev === this.#shape.made.dev && found.ino === this.#shape.made.ino;
  }

  async #publish(partial: string): Promise<void> {
    const { path, replaces } = this.#shape;
    if (!(await this.#isOurs(partial))) {
      const cure = 'copy to one target once at a time';
      throw new VBackupError('VB_FILE_CHANGED', `${partial} was taken away by someone else`, { cure });
    }
    if (replaces) return rename(partial, path);
    try {
      // Unlike rename, link refuses a name that someone else took in the meantime.
      await link(partial, path);
    } catch (error) {
      if (systemCode(error) === 'EEXIST') throw exists(path, this.#shape, error);
      // No hard links here (vfat, exfat, some network file systems), or not to files of this kind.
      if ((await ignoringMissing(() => lstat(path))) !== null) throw exists(path, this.#shape, error);
      return rename(partial, path);
    }
    await rm(partial);
  }
}
