import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { VBackupError } from '../errors/index.js';
import { claimFile } from '../filemap/claim-file.js';
import { loadLibc } from '../filemap/load-libc.js';
import type { BlockDevice, BlockLimits, DeviceSpecification, OpenDevice, WithSignal } from '../hypervisor/index.js';
import { NbdClient } from '../nbd/client.js';
import { systemCode, withIo } from '../storage/io-error.js';
import { RestoreNote } from '../storage/restore-note.js';
import { QemuNbd } from './qemu-nbd.js';

/** QEMU counts sectors: a raw file that ends within one is a little longer. */
const SECTOR_LENGTH = 512;

export interface ImageDeviceOptions {
  /** QEMU's name; never guessed from the content, which a guest may have written. */
  readonly format: string;
}

/**
 * An image of any format, or a block device, that is read and written where it lies, through `qemu-nbd`. While it is open no
 * machine can start with it, and one that runs keeps it from being opened (VB_IMAGE_LOCKED). Dirty bitmaps of a qcow2 that
 * record writes record these as well.
 * The opener throws VB_TARGET_SIZE, VB_TARGET_INVALID, VB_FILE_NOT_FOUND, VB_IMAGE_LOCKED, VB_IMAGE_FORMAT, VB_QEMU_MISSING,
 * VB_QEMU_FAILED, VB_ACCESS_DENIED.
 */
export function openImageDevice(path: string, { format }: ImageDeviceOptions): OpenDevice {
  const absolute = resolve(path);
  return async (specification, { signal } = {}) => {
    const claim = await claimImage(absolute);
    try {
      const server = await QemuNbd.start({ path: absolute, format, readOnly: false, connections: 1, signal });
      try {
        const metaContexts = ['base:allocation'];
        const client = await NbdClient.connect({ address: server.address, exportName: '', metaContexts, signal });
        if (fits(client.size, specification)) {
          return new ImageDevice({ server, client, claim, path: absolute, label: specification.label });
        }
        await client.close();
        throw otherSize(path, client.size, specification);
      } catch (error) {
        const cause = await server.explain(error);
        await server[Symbol.asyncDispose]();
        throw cause;
      }
    } catch (error) {
      await claim.close();
      throw error;
    }
  };
}

/**
 * Keeps others out who would write to the same disk. O_EXCL on a block device is refused while it is mounted or in use (open(2)).
 * QEMU's own locks keep machines from a file, and other servers from a qcow2; but it lets two servers write one raw file.
 */
async function claimImage(path: string): Promise<FileHandle> {
  return withIo(`cannot open ${path}`, async () => {
    const found = await stat(path);
    if (found.isFile()) return openClaimed(path);
    if (!found.isBlockDevice())
      throw new VBackupError('VB_TARGET_INVALID', `${path} is neither a file nor a block device`);
    try {
      return await open(path, constants.O_RDWR + constants.O_EXCL);
    } catch (error) {
      if (systemCode(error) !== 'EBUSY') throw error;
      const cure = 'unmount it, or stop what uses it';
      throw new VBackupError('VB_TARGET_INVALID', `${path} is in use`, { cause: error, cure });
    }
  });
}

async function openClaimed(path: string): Promise<FileHandle> {
  const libc = await loadLibc();
  const file = await open(path, 'r+');
  if (claimFile(libc, file)) return file;
  await file.close();
  throw new VBackupError('VB_IMAGE_LOCKED', `${path} is being written to by another vbackup`, {
    cure: 'let that one finish, or end it, before this is run again',
  });
}

const fits = (found: number, { size }: DeviceSpecification): boolean =>
  found >= size && found <= Math.ceil(size / SECTOR_LENGTH) * SECTOR_LENGTH;

const otherSize = (path: string, found: number, { size, label }: DeviceSpecification): VBackupError =>
  new VBackupError('VB_TARGET_SIZE', `${path} has ${found} bytes, ${label} has ${size}`, {
    cure: 'resize it, or restore into a new image',
  });

interface ImageDeviceShape {
  readonly server: QemuNbd;
  readonly client: NbdClient;
  readonly claim: FileHandle;
  readonly path: string;
  /** What is written, for people. */
  readonly label: string;
}

class ImageDevice implements BlockDevice {
  readonly size: number;
  readonly limits: BlockLimits;
  readonly allocation?: NonNullable<BlockDevice['allocation']>;
  readonly zeroed = false;
  readonly anyOrder = true;
  readonly #shape: ImageDeviceShape;
  /** Made before the first byte is written; null where there can be none. */
  #note: Promise<RestoreNote | null> | undefined;
  #open = true;

  constructor(shape: ImageDeviceShape) {
    this.#shape = shape;
    this.size = shape.client.size;
    this.limits = shape.client.limits;
    if (shape.client.allocation !== undefined) this.allocation = shape.client.allocation;
  }

  read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    return this.#explained(this.#shape.client.read(offset, target, options));
  }

  async write(offset: number, bytes: Buffer, options?: WithSignal): Promise<void> {
    await this.#noted();
    await this.#explained(this.#shape.client.write(offset, bytes, options));
  }

  async zero(offset: number, length: number, options?: WithSignal): Promise<void> {
    await this.#noted();
    await this.#explained(this.#shape.client.zero(offset, length, options));
  }

  async finish(options?: WithSignal): Promise<void> {
    await this.#explained(this.#shape.client.flush(options));
    await (await this.#note)?.end();
    this.#note = undefined;
    await RestoreNote.forget(this.#shape.path);
  }

  /** What was written stays. The server stores the bitmaps when it ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    const { client, server, claim } = this.#shape;
    await client.close();
    await server[Symbol.asyncDispose]();
    await claim.close();
  }

  #noted(): Promise<RestoreNote | null> {
    const { path, label, claim } = this.#shape;
    // The folder of a block device is no place for files.
    this.#note ??= claim.stat().then((facts) => (facts.isFile() ? RestoreNote.begin(path, label) : null));
    return this.#note;
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
