import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import { deviceSize } from '../../filemap/device-size.js';
import { loadLibc } from '../../filemap/load-libc.js';
import { ZeroWriter } from '../../filemap/zero-writer.js';
import type { BlockWriter, OpenTarget, TargetSpecification, WithSignal } from '../../hypervisor/index.js';
import { ignoringMissing, PARTIAL_SUFFIX, syncDirectory, writeFully } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';

const LIMITS = { alignment: 1, maximumRequest: 16 * 1024 * 1024, maximumInFlight: 1 };

export interface FileTargetOptions {
  /** Replaces a file that exists. A block device is always written to. */
  readonly force?: boolean | undefined;
}

/**
 * A regular file, sparse, or a block device as a target. A file is written as `<path>.partial` and takes its name when
 * it is complete: one that exists stays as it is until then. On a device what holds no data is made to read as zero, by
 * the device itself where it can do that.
 * The opener throws VB_TARGET_EXISTS, VB_TARGET_INVALID, VB_TARGET_TOO_SMALL, VB_NO_SPACE, VB_ACCESS_DENIED.
 */
export function openFileTarget(path: string, options: FileTargetOptions = {}): OpenTarget {
  return async (specification) => {
    const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(() => stat(path)));
    if (found === null) return openFile(path, specification);
    if (found.isBlockDevice()) return openDevice(path, specification);
    if (!found.isFile()) throw new VBackupError('VB_TARGET_INVALID', `${path} is neither a file nor a block device`);
    if (options.force !== true) {
      throw new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cure: 'name another file, or use --force' });
    }
    return openFile(path, specification);
  };
}

async function openFile(path: string, specification: TargetSpecification): Promise<BlockWriter> {
  const partial = path + PARTIAL_SUFFIX;
  return withIo(`cannot make ${path}`, async () => {
    const file = await open(partial, 'w', 0o600);
    try {
      await file.truncate(specification.size);
    } catch (error) {
      await file.close();
      await rm(partial, { force: true });
      throw error;
    }
    const finish = async (): Promise<void> => {
      await rename(partial, path);
      await syncDirectory(dirname(path));
    };
    return new FileWriter(file, { path, size: specification.size, zeroWriter: null, finish, undo: () => rm(partial) });
  });
}

async function openDevice(path: string, specification: TargetSpecification): Promise<BlockWriter> {
  return withIo(`cannot open ${path}`, async () => {
    // O_EXCL on a block device: refused while it is mounted or in use (open(2)).
    const file = await open(path, constants.O_RDWR + constants.O_EXCL);
    try {
      const libc = await loadLibc();
      const size = await deviceSize(file, libc);
      if (size < specification.size) {
        throw new VBackupError('VB_TARGET_TOO_SMALL', `${path} has ${size} bytes, the disk ${specification.size}`);
      }
      const nothing = (): Promise<void> => Promise.resolve();
      const zeroWriter = new ZeroWriter({ file, isBlockDevice: true, libc });
      return new FileWriter(file, { path, size, zeroWriter, finish: nothing, undo: nothing });
    } catch (error) {
      await file.close();
      throw error;
    }
  });
}

interface FileShape {
  readonly path: string;
  readonly size: number;
  /** Null where what is never written reads as zero. */
  readonly zeroWriter: ZeroWriter | null;
  readonly finish: () => Promise<void>;
  readonly undo: () => Promise<void>;
}

class FileWriter implements BlockWriter {
  readonly size: number;
  readonly limits = LIMITS;
  readonly zeroed: boolean;
  readonly #file: FileHandle;
  readonly #shape: FileShape;
  #state: 'open' | 'finished' | 'closed' = 'open';

  constructor(file: FileHandle, shape: FileShape) {
    this.#file = file;
    this.#shape = shape;
    this.size = shape.size;
    this.zeroed = shape.zeroWriter === null;
  }

  async write(offset: number, bytes: Buffer): Promise<void> {
    await withIo(`cannot write ${this.#shape.path} at byte ${offset}`, () => writeFully(this.#file, bytes, offset));
  }

  async zero(offset: number, length: number, options: WithSignal = {}): Promise<void> {
    const { path, zeroWriter } = this.#shape;
    const what = `cannot zero ${length} bytes of ${path} at byte ${offset}`;
    await withIo(what, async () => zeroWriter?.punch({ offset, length }, options));
  }

  async finish(): Promise<void> {
    await withIo(`cannot finish ${this.#shape.path}`, async () => {
      await this.#file.sync();
      await this.#shape.finish();
    });
    this.#state = 'finished';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'closed') return;
    const unfinished = this.#state === 'open';
    this.#state = 'closed';
    await this.#file.close();
    if (unfinished) await ignoringMissing(this.#shape.undo);
  }
}
