import type {
  ConfigurationFile,
  Guest,
  Hypervisor,
  Snapshot,
  SnapshotDisk,
  SnapshotRequest,
  Warning,
} from '../../hypervisor/index.js';
import { formatUuid, isVmstate, type VmaArchive, type VmaDevice } from '../../vma/index.js';
import { stillSnapshot } from './backup-hypervisor.js';
import { ImageBlockReader } from './image-block-reader.js';
import { guestOfArchive, plainName } from './vma-guest.js';

export interface OpenedArchive {
  /** The caller closes it. */
  readonly archive: VmaArchive;
  /** Its file, for the guest's name. */
  readonly path: string;
  /** The guest's memory counts as a disk. */
  readonly vmstate: boolean;
  /** Only these; default: all. */
  readonly devices?: readonly VmaDevice[] | undefined;
  readonly warn: (warning: Warning) => void;
}

const DISK_NAME = /^[A-Za-z0-9_-]+$/;
const FILE_NAME = /^(?!json$|.*\.(?:index|partial)$)[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/**
 * An archive as the guest that it is a backup of, frozen when the archive was made. Another archive of the same guest is
 * compared with the one before, so that only what differs is stored. Whoever asks for any guest gets this one.
 */
export class VmaHypervisor implements Hypervisor {
  readonly #opened: OpenedArchive;

  constructor(opened: OpenedArchive) {
    this.#opened = opened;
  }

  find(): Promise<Guest> {
    return Promise.resolve(guestOfArchive(this.#opened.archive.header, this.#opened.path));
  }

  async snapshot(_guest: Guest, { since, keepCheckpoint }: SnapshotRequest): Promise<Snapshot> {
    const { uuid, ctime } = this.#opened.archive.header;
    const devices = this.#devices();
    return stillSnapshot({
      time: new Date(ctime * 1000),
      checkpoint: keepCheckpoint ? { archive: formatUuid(uuid) } : null,
      disks: devices.map((device) => this.#disk(device, { compare: since !== null })),
      configuration: this.#configuration(),
    });
  }

  async recover(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #devices(): readonly VmaDevice[] {
    const { archive, vmstate, devices = archive.header.devices, warn } = this.#opened;
    return devices.filter((device) => {
      if (vmstate || !isVmstate(device)) return true;
      warn({ code: 'VB_UNSUPPORTED', message: 'the memory of the guest (vmstate) is left out: it is no disk' });
      return false;
    });
  }

  #disk(device: VmaDevice, { compare }: { readonly compare: boolean }): SnapshotDisk {
    const { archive } = this.#opened;
    const { size } = archive.image(device);
    const name = plainName(device.name, DISK_NAME);
    return {
      name,
      id: device.name,
      label: device.name,
      size,
      changes: compare
        ? { kind: 'compare', extents: [{ offset: 0, length: size }], method: 'digests' }
        : { kind: 'all' },
      open: () => Promise.resolve(new ImageBlockReader(archive.image(device))),
    };
  }

  #configuration(): readonly ConfigurationFile[] {
    return this.#opened.archive.header.configs.map(({ name, content }) => ({
      name: plainName(name, FILE_NAME),
      content,
    }));
  }
}
