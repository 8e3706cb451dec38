import { chmod, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { VBackupError } from '../errors/index.js';
import type { BlockLimits, BlockWriter, OpenTarget, TargetSpecification, WithSignal } from '../hypervisor/index.js';
import { NbdClient } from '../nbd/index.js';
import { ignoringMissing, PARTIAL_SUFFIX, syncDirectory } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';
import type { ImageInfo } from './image-info.js';
import { QemuNbd } from './qemu-nbd.js';
import { runQemu } from './run-qemu.js';

/** QEMU's images are made of sectors: a disk of another size gets zeros behind its end. */
const SECTOR_LENGTH = 512;
/** As a raw target has it. */
const PRIVATE_MODE = 0o600;

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
 * A qcow2 image as a target, made by `qemu-img` and written by `qemu-nbd`. It is called `<path>.partial` until it is complete.
 * A size that is no multiple of 512 is rounded up, with zeros.
 * The opener throws VB_TARGET_EXISTS, VB_TARGET_INVALID, VB_TARGET_TOO_SMALL, VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_LOCKED.
 */
export function openQcow2Target(path: string, options: Qcow2TargetOptions = {}): OpenTarget {
  const final = resolve(path);
  return async (specification, { signal } = {}) => {
    if (options.inPlace !== undefined) {
      const { zeroed } = options.inPlace;
      return serve({ path: final, specification, zeroed, signal }, keep);
    }
    const mode = await checkFree(final, options);
    const partial = final + PARTIAL_SUFFIX;
    const undo = (): Promise<void> => withIo(`cannot remove ${partial}`, () => rm(partial, { force: true }));
    await undo();
    const size = Math.ceil(specification.size / SECTOR_LENGTH) * SECTOR_LENGTH;
    const args = ['create', '-q', '-f', 'qcow2', ...shapeArguments(options.like), '--', partial, String(size)];
    try {
      await runQemu({ program: 'qemu-img', args, action: `cannot make ${path}`, signal });
      // qemu-img leaves it to the umask who may read it, which is everyone, most likely.
      await withIo(`cannot protect ${partial}`, () => chmod(partial, mode));
      return await serve(
        { path: partial, specification, zeroed: true, signal },
        { finish: () => name(partial, final), undo },
      );
    } catch (error) {
      await undo();
      throw error;
    }
  };
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

interface Ending {
  readonly finish: () => Promise<void>;
  readonly undo: () => Promise<void>;
}

/** What was written into an image that was there before stays. */
const keep: Ending = { finish: () => Promise.resolve(), undo: () => Promise.resolve() };

/** @returns the permissions of the new image: those of the one that it replaces, else nobody else can read it */
async function checkFree(path: string, { force }: Qcow2TargetOptions): Promise<number> {
  const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(() => stat(path)));
  if (found === null) return PRIVATE_MODE;
  if (!found.isFile()) throw new VBackupError('VB_TARGET_INVALID', `${path} is no file`);
  if (force === true) return found.mode % 0o1000;
  throw new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cure: 'name another file, or use --force' });
}

/** QEMU flushed what it was told to; what it wrote when it closed the image is made durable here. */
async function name(partial: string, final: string): Promise<void> {
  await withIo(`cannot finish ${final}`, async () => {
    await using file = await open(partial, 'r');
    await file.sync();
    await rename(partial, final);
    await syncDirectory(dirname(final));
  });
}

interface Served extends WithSignal {
  readonly path: string;
  readonly specification: TargetSpecification;
  readonly zeroed: boolean;
}

async function serve({ path, specification, zeroed, signal }: Served, ending: Ending): Promise<BlockWriter> {
  const server = await QemuNbd.start({ path, format: 'qcow2', readOnly: false, connections: 1, signal });
  try {
    const client = await NbdClient.connect({ address: server.address, exportName: '', metaContexts: [], signal });
    if (client.size >= specification.size) return new Qcow2Writer({ server, client, zeroed, ending });
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
  readonly ending: Ending;
}

class Qcow2Writer implements BlockWriter {
  readonly size: number;
  readonly limits: BlockLimits;
  readonly zeroed: boolean;
  readonly anyOrder = true;
  readonly #shape: WriterShape;
  #state: 'open' | 'finished' | 'closed' = 'open';

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

  async finish(options?: WithSignal): Promise<void> {
    await this.#explained(this.#shape.client.flush(options));
    await this.#close();
    await this.#shape.ending.finish();
    this.#state = 'finished';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'closed') return;
    const unfinished = this.#state === 'open';
    this.#state = 'closed';
    await this.#close();
    if (unfinished) await this.#shape.ending.undo();
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
