import { type CopyTarget, openCopyTarget } from '../../filemap/copy-target.js';
import { deviceSize } from '../../filemap/device-size.js';
import { loadLibc } from '../../filemap/load-libc.js';
import { ZeroWriter } from '../../filemap/zero-writer.js';
import type { BlockLimits, BlockWriter, OpenTarget, WithSignal } from '../../hypervisor/index.js';
import { DirectWriter } from '../../storage/direct-writer.js';
import { writeFully } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';

const LIMITS = { alignment: 1, maximumRequest: 16 * 1024 * 1024, maximumInFlight: 1 };
/** Around the page cache one more keeps the disk at work while the next is handed over. */
const DIRECT_LIMITS = { ...LIMITS, maximumInFlight: 2 };

export interface FileTargetOptions {
  /** Replaces a file that exists. A block device is always written to. */
  readonly force?: boolean | undefined;
  /** Writes into a file that exists and keeps it, as a device; `zeroed`: it reads as zeros already. */
  readonly inPlace?: { readonly zeroed: boolean } | undefined;
  /** Default true. False: zeros are written like data, so that every byte of the target has its place on the disk. */
  readonly sparse?: boolean | undefined;
}

/**
 * A regular file, sparse, or a block device as a target. A file is written as `<path>.partial` and takes its name when
 * it is complete: one that exists stays as it is until then, and leaves its permissions to the new one. On a device what
 * holds no data is made to read as zero, by the device itself where it can do that; unless it is not to be sparse.
 * The opener throws VB_TARGET_EXISTS, VB_TARGET_INVALID, VB_TARGET_TOO_SMALL, VB_NO_SPACE, VB_ACCESS_DENIED.
 */
export function openFileTarget(path: string, options: FileTargetOptions = {}): OpenTarget {
  const { force, inPlace, sparse = true } = options;
  const existing = inPlace !== undefined ? 'overwrite' : force === true ? 'replace' : 'refuse';
  const cureIfExists = 'name another file, or use --force';
  return async ({ size }) => {
    const libc = await loadLibc();
    const target = await openCopyTarget(path, { existing, source: null, offset: 0, end: size, libc, cureIfExists });
    const { file, isBlockDevice, isFresh } = target;
    try {
      const length = isBlockDevice ? await deviceSize(file, libc) : size;
      const zeroed = sparse && (isFresh || inPlace?.zeroed === true);
      const zeroWriter = zeroed ? null : new ZeroWriter({ file, isBlockDevice, libc });
      return new FileWriter(target, { length, zeroWriter, sparse, direct: await DirectWriter.open(file) });
    } catch (error) {
      await target[Symbol.asyncDispose]();
      throw error;
    }
  };
}

interface FileShape {
  readonly length: number;
  /** Null where what is never written reads as zero. */
  readonly zeroWriter: ZeroWriter | null;
  readonly sparse: boolean;
  /** Null where all goes through the page cache. */
  readonly direct: DirectWriter | null;
}

class FileWriter implements BlockWriter {
  readonly size: number;
  readonly limits: BlockLimits;
  readonly anyOrder = true;
  readonly zeroed: boolean;
  readonly #target: CopyTarget;
  readonly #shape: FileShape;

  constructor(target: CopyTarget, shape: FileShape) {
    this.#target = target;
    this.#shape = shape;
    this.size = shape.length;
    this.limits = shape.direct === null ? LIMITS : DIRECT_LIMITS;
    this.zeroed = shape.zeroWriter === null;
  }

  async write(offset: number, bytes: Buffer): Promise<void> {
    const { path, file } = this.#target;
    await withIo(`cannot write ${path} at byte ${offset}`, async () => {
      const written = (await this.#shape.direct?.write(bytes, offset)) ?? 0;
      await writeFully(file, bytes.subarray(written), offset + written);
    });
  }

  async zero(offset: number, length: number, options: WithSignal = {}): Promise<void> {
    const what = `cannot zero ${length} bytes of ${this.#target.path} at byte ${offset}`;
    const { zeroWriter, sparse } = this.#shape;
    const range = { offset, length };
    await withIo(what, async () => (sparse ? zeroWriter?.punch(range, options) : zeroWriter?.write(range, options)));
  }

  sync(): Promise<void> {
    return this.#target.sync();
  }

  finish(): Promise<void> {
    return this.#target.finish({ fsync: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shape.direct?.[Symbol.asyncDispose]();
    await this.#target[Symbol.asyncDispose]();
  }
}
