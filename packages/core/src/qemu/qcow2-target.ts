import { resolve } from 'node:path';
import { VBackupError } from '../errors/index.js';
import { type CopyTarget, openCopyTarget } from '../filemap/copy-target.js';
import { loadLibc } from '../filemap/load-libc.js';
import type { BlockLimits, BlockWriter, OpenTarget, TargetSpecification, WithSignal } from '../hypervisor/index.js';
import { NbdClient } from '../nbd/client.js';
import { PARTIAL_SUFFIX } from '../storage/durable.js';
import type { ImageInfo } from './image-info.js';
import { QemuNbd } from './qemu-nbd.js';
import { runQemu } from './run-qemu.js';

/** QEMU's images are made of sectors: a disk of another size gets zeros behind its end. */
const SECTOR_LENGTH = 512;

export interface Qcow2TargetOptions {
  /** Replaces a file that exists, when the new one is complete. */
  readonly force?: boolean | undefined;
  /** Writes into an image that exists; `zeroed`: it reads as zeros already. */
  readonly inPlace?: { readonly zeroed: boolean } | undefined;
  /** Makes the image like another one was. Default: as QEMU makes it. */
  readonly like?: Qcow2Shape | undefined;
}

/** How a qcow2 is made. */
export type Qcow2Shape = Pick<ImageInfo, 'clusterSize' | 'qcow2'>;

/**
 * A qcow2 image as a target, made by `qemu-img` and written by `qemu-nbd`. It is called `<path>.partial` until it is complete, and
 * then takes the place of a file that exists as a raw target does. A size that is no multiple of 512 is rounded up, with zeros.
 * The opener throws VB_TARGET_EXISTS, VB_TARGET_INVALID, VB_TARGET_TOO_SMALL, VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_LOCKED.
 */
export function openQcow2Target(path: string, options: Qcow2TargetOptions = {}): OpenTarget {
  const final = resolve(path);
  return async (specification, { signal } = {}) => {
    if (options.inPlace !== undefined) {
      const { zeroed } = options.inPlace;
      return serve({ path: final, specification, zeroed, signal }, null);
    }
    const file = await openNewFile(final, options);
    try {
      // A link that it replaces was followed.
      const partial = file.path + PARTIAL_SUFFIX;
      const size = Math.ceil(specification.size / SECTOR_LENGTH) * SECTOR_LENGTH;
      const args = ['create', '-q', '-f', 'qcow2', ...shapeArguments(options.like), '--', partial, String(size)];
      // It keeps the file that is there, with its permissions.
      await runQemu({ program: 'qemu-img', args, action: `cannot make ${path}`, signal });
      return await serve({ path: partial, specification, zeroed: true, signal }, file);
    } catch (error) {
      await file[Symbol.asyncDispose]();
      throw error;
    }
  };
}

/** An empty file that qemu-img makes an image of. */
async function openNewFile(path: string, { force }: Qcow2TargetOptions): Promise<CopyTarget> {
  const existing = force === true ? 'replace' : 'refuse';
  const cureIfExists = 'name another file, or use --force';
  const libc = await loadLibc();
  const file = await openCopyTarget(path, { existing, source: null, offset: 0, end: 0, libc, cureIfExists });
  if (!file.isBlockDevice) return file;
  await file[Symbol.asyncDispose]();
  throw new VBackupError('VB_TARGET_INVALID', `${path} is a block device`, { cure: 'restore to it with --format raw' });
}

/** `qemu-img create -o`. A version 2 knows none of the newer features. */
function shapeArguments({ clusterSize, qcow2 }: Qcow2Shape = { clusterSize: null, qcow2: null }): readonly string[] {
  const words: string[] = clusterSize === null ? [] : [`cluster_size=${clusterSize}`];
  if (qcow2 !== null) words.push(`compat=${qcow2.compat}`);
  if (qcow2 !== null && qcow2.compat !== '0.10') {
    words.push(`refcount_bits=${qcow2.refcountBits}`);
    if (qcow2.lazyRefcounts) words.push('lazy_refcounts=on');
    if (qcow2.extendedL2) words.push('extended_l2=on');
    if (qcow2.compression !== 'zlib') words.push(`compression_type=${qcow2.compression}`);
  }
  return words.length === 0 ? [] : ['-o', words.join(',')];
}

interface Served extends WithSignal {
  readonly path: string;
  readonly specification: TargetSpecification;
  readonly zeroed: boolean;
}

async function serve({ path, specification, zeroed, signal }: Served, file: CopyTarget | null): Promise<BlockWriter> {
  const server = await QemuNbd.start({ path, format: 'qcow2', readOnly: false, connections: 1, signal });
  try {
    const client = await NbdClient.connect({ address: server.address, exportName: '', metaContexts: [], signal });
    if (client.size >= specification.size) return new Qcow2Writer({ server, client, zeroed, file });
    await client.close();
    const { size, label } = specification;
    throw new VBackupError('VB_TARGET_TOO_SMALL', `${path} has ${client.size} bytes, ${label} has ${size}`);
  } catch (error) {
    const cause = await server.explain(error);
    await server[Symbol.asyncDispose]();
    throw cause;
  }
}

interface WriterShape {
  readonly server: QemuNbd;
  readonly client: NbdClient;
  readonly zeroed: boolean;
  /** Null where the image was there before: what was written into it stays. */
  readonly file: CopyTarget | null;
}

class Qcow2Writer implements BlockWriter {
  readonly size: number;
  readonly limits: BlockLimits;
  readonly zeroed: boolean;
  readonly anyOrder = true;
  readonly #shape: WriterShape;

  constructor(shape: WriterShape) {
    this.#shape = shape;
    this.size = shape.client.size;
    this.limits = shape.client.limits;
    this.zeroed = shape.zeroed;
  }

  async write(offset: number, bytes: Buffer, options?: WithSignal): Promise<void> {
    await this.#explained(this.#shape.client.write(offset, bytes, options));
  }

  async zero(offset: number, length: number, options?: WithSignal): Promise<void> {
    await this.#explained(this.#shape.client.zero(offset, length, options));
  }

  async sync(options?: WithSignal): Promise<void> {
    await this.#explained(this.#shape.client.flush(options));
  }

  async finish(options?: WithSignal): Promise<void> {
    await this.sync(options);
    await this.#close();
    // QEMU flushed what it was told to; what it wrote when it closed the image is made durable here.
    await this.#shape.file?.finish({ fsync: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#close();
    } finally {
      await this.#shape.file?.[Symbol.asyncDispose]();
    }
  }

  /** Both may be closed twice. The server closes the image when it ends. */
  async #close(): Promise<void> {
    await this.#shape.client.close();
    await this.#shape.server[Symbol.asyncDispose]();
  }

  /** A server that died says more than the connection that broke. */
  async #explained(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      throw await this.#shape.server.explain(error);
    }
  }
}
