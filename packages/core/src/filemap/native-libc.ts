import { VBackupError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';
import { Turnstile } from '../memory/turnstile.js';
import type { CopyFileRange, Descriptor, FallocateMode, Libc } from './libc.js';
import {
  BLKDISCARD,
  BLKGETSIZE64,
  BLKSSZGET,
  BLKZEROOUT,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  FALLOCATE_MODES,
  FICLONE,
  FIGETBSZ,
  FS_IOC_FIEMAP,
  SEEK_DATA,
  SEEK_HOLE,
} from './linux-words.js';
import { isErrno, SystemCallError } from './system-call-error.js';

/** Calls that run in threads at a time; koffi itself refuses more than 256. */
export const MAXIMUM_PENDING_CALLS = 16;

/** glibc 2.41 and 2.42 damage what copy_file_range copies beyond 2 GiB at once (glibc PR 33245). */
const MAXIMUM_COPY_LENGTH = 1024 * 1024 * 1024;

/** `struct flock` where `long` has 64 bits: type 0, whence 2, start 8, length 16, pid 24. */
const FLOCK_LENGTH = 32;

/** A function of the C library: called at once, or in a thread with a callback as its last argument. */
export interface NativeFunction {
  (...values: readonly unknown[]): unknown;
  async(...values: readonly unknown[]): unknown;
}

/** What is used of koffi. */
export interface NativeModule {
  load(path: null): { func(definition: string): NativeFunction };
  /** The errno of the last call: valid right after it, or in the direct callback of a call in a thread. */
  errno(): number;
}

/** {@link Libc} over koffi: `koffi.load(null)` has the symbols of the C library that Node itself runs on. */
export class NativeLibc implements Libc {
  readonly #koffi: NativeModule;
  readonly #inUse = new Set<readonly unknown[]>();
  readonly #turnstile = new Turnstile(MAXIMUM_PENDING_CALLS);
  readonly #lseek: NativeFunction;
  readonly #ioctl: NativeFunction;
  readonly #fcntl: NativeFunction;
  // A variadic function cannot be called in a thread. On the machines of loadLibc a fixed one is called the same way.
  readonly #ioctlPointer: NativeFunction;
  readonly #ioctlNumber: NativeFunction;
  readonly #fallocate: NativeFunction;
  readonly #copyFileRange: NativeFunction;

  constructor(koffi: NativeModule) {
    const libc = koffi.load(null);
    this.#koffi = koffi;
    this.#lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)');
    this.#ioctl = libc.func('int ioctl(int fd, unsigned long request, ...)');
    this.#fcntl = libc.func('int fcntl(int fd, int command, ...)');
    this.#ioctlPointer = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
    this.#ioctlNumber = libc.func('int ioctl(int fd, unsigned long request, long argument)');
    this.#fallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)');
    this.#copyFileRange = libc.func(
      'int64_t copy_file_range(int source, void *source_offset, int target, void *target_offset, size_t length, unsigned int flags)',
    );
  }

  seekData(file: Descriptor, offset: number): number | null {
    return this.#seek(file, offset, SEEK_DATA);
  }

  seekHole(file: Descriptor, offset: number): number | null {
    return this.#seek(file, offset, SEEK_HOLE);
  }

  blockSize(file: Descriptor): number {
    return this.#ask('ioctl FIGETBSZ', file, FIGETBSZ, Buffer.alloc(4)).readInt32LE();
  }

  deviceSize(file: Descriptor): number {
    return safe('BLKGETSIZE64', this.#ask('ioctl BLKGETSIZE64', file, BLKGETSIZE64, Buffer.alloc(8)).readBigUInt64LE());
  }

  sectorSize(file: Descriptor): number {
    return this.#ask('ioctl BLKSSZGET', file, BLKSSZGET, Buffer.alloc(4)).readInt32LE();
  }

  async fiemap(file: Descriptor, request: Buffer): Promise<void> {
    await this.#later('ioctl FIEMAP', this.#ioctlPointer, [file.fd, FS_IOC_FIEMAP, request]);
  }

  async clone({ source, target }: { readonly source: Descriptor; readonly target: Descriptor }): Promise<void> {
    await this.#later('ioctl FICLONE', this.#ioctlNumber, [target.fd, FICLONE, source.fd]);
  }

  async fallocate(file: Descriptor, mode: FallocateMode, range: Extent): Promise<void> {
    checkRange(range);
    await this.#later('fallocate', this.#fallocate, [file.fd, FALLOCATE_MODES[mode], range.offset, range.length]);
  }

  copyFileRange({ source, sourceOffset, target, targetOffset, length }: CopyFileRange): Promise<number> {
    checkRange({ offset: sourceOffset, length });
    checkRange({ offset: targetOffset, length });
    const [from, to] = [u64(sourceOffset), u64(targetOffset)];
    const count = Math.min(length, MAXIMUM_COPY_LENGTH);
    return this.#later('copy_file_range', this.#copyFileRange, [source.fd, from, target.fd, to, count, 0]);
  }

  async zeroDevice(file: Descriptor, range: Extent): Promise<void> {
    checkRange(range);
    const words = u64(range.offset, range.length);
    await this.#later('ioctl BLKZEROOUT', this.#ioctlPointer, [file.fd, BLKZEROOUT, words]);
  }

  async discardDevice(file: Descriptor, range: Extent): Promise<void> {
    checkRange(range);
    const words = u64(range.offset, range.length);
    await this.#later('ioctl BLKDISCARD', this.#ioctlPointer, [file.fd, BLKDISCARD, words]);
  }

  lockHeld(file: Descriptor, range: Extent): 'read' | 'write' | null {
    const lock = writeLock(range);
    const result = this.#fcntl(file.fd, F_OFD_GETLK, 'void *', lock);
    if (result === -1) throw new SystemCallError('fcntl F_OFD_GETLK', this.#koffi.errno());
    const type = lock.readInt16LE(0);
    if (type === F_UNLCK) return null;
    return type === F_RDLCK ? 'read' : 'write';
  }

  tryLock(file: Descriptor, range: Extent): boolean {
    if (this.#fcntl(file.fd, F_OFD_SETLK, 'void *', writeLock(range)) !== -1) return true;
    const error = new SystemCallError('fcntl F_OFD_SETLK', this.#koffi.errno());
    // EAGAIN has two names, and POSIX allows EACCES as well.
    if (isErrno(error, 'EAGAIN', 'EWOULDBLOCK', 'EACCES')) return false;
    throw error;
  }

  #seek(file: Descriptor, offset: number, whence: typeof SEEK_DATA | typeof SEEK_HOLE): number | null {
    checkOffset(offset);
    for (;;) {
      const result = this.#lseek(file.fd, offset, whence);
      if (result !== -1) return safe('lseek', result);
      const error = new SystemCallError('lseek', this.#koffi.errno());
      if (isErrno(error, 'ENXIO')) return null;
      if (!isErrno(error, 'EINTR')) throw error;
    }
  }

  #ask(name: string, file: Descriptor, request: number, answer: Buffer): Buffer {
    const result = this.#ioctl(file.fd, request, 'void *', answer);
    if (result === -1) throw new SystemCallError(name, this.#koffi.errno());
    return answer;
  }

  async #later(name: string, native: NativeFunction, values: readonly unknown[]): Promise<number> {
    using _turn = await this.#turnstile.enter();
    for (;;) {
      try {
        return await this.#once(name, native, values);
      } catch (error) {
        // A signal came, and the file system (FUSE, tmpfs) stopped for it: fallocate(2).
        if (!isErrno(error, 'EINTR')) throw error;
      }
    }
  }

  #once(name: string, native: NativeFunction, values: readonly unknown[]): Promise<number> {
    return new Promise((resolve, reject) => {
      // koffi keeps no reference to a buffer while its thread works with the address.
      this.#inUse.add(values);
      native.async(...values, (error: unknown, result: unknown) => {
        this.#inUse.delete(values);
        if (error !== null && error !== undefined) reject(error);
        else if (result === -1) reject(new SystemCallError(name, this.#koffi.errno()));
        else resolve(safe(name, result));
      });
    });
  }
}

/** koffi gives 64-bit results as numbers where they are exact, and as bigint else. */
function safe(name: string, result: unknown): number {
  const value = typeof result === 'bigint' ? Number(result) : result;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  throw new VBackupError('VB_NUMBER_TOO_LARGE', `${name} answers ${String(result)}, which is beyond 2^53 - 1`);
}

/** A `struct flock`: type, whence (from the start of the file), start, length; pid 0, as open file description locks demand. */
function writeLock(range: Extent): Buffer {
  checkRange(range);
  const lock = Buffer.alloc(FLOCK_LENGTH);
  lock.writeInt16LE(F_WRLCK, 0);
  u64(range.offset, range.length).copy(lock, 8);
  return lock;
}

function u64(...values: readonly number[]): Buffer {
  const words = Buffer.alloc(values.length * 8);
  for (const [index, value] of values.entries()) words.writeBigUInt64LE(BigInt(value), index * 8);
  return words;
}

// koffi cuts 1.5 to 1 and wraps 2^64: neither may become an offset.
function checkOffset(offset: number): void {
  if (Number.isSafeInteger(offset) && offset >= 0) return;
  throw new VBackupError('VB_INVALID_ARGUMENT', `${offset} is no offset`);
}

function checkRange({ offset, length }: Extent): void {
  checkOffset(offset);
  if (Number.isSafeInteger(length) && length > 0 && Number.isSafeInteger(offset + length)) return;
  throw new VBackupError('VB_INVALID_ARGUMENT', `${length} is no length at offset ${offset}`);
}
