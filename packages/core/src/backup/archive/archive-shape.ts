import type { ConfigurationFile, Warning } from '../../hypervisor/index.js';
import {
  PVE_CONFIG_NAME,
  type PveDisk,
  pveConfig,
  pveDeviceName,
  unsafeNameReason,
  VMA_CONFIG_SLOTS,
  VMA_MAX_BLOB_LENGTH,
  VMA_MAX_PVE_HEADER_LENGTH,
  type VmaConfig,
} from '../../vma/index.js';
import type { ChosenDisk } from '../repository.js';

/** What is known of a backup before its archive begins. */
export interface ArchiveQuestion {
  readonly guest: string;
  readonly disks: readonly ChosenDisk[];
  readonly configuration: readonly ConfigurationFile[];
  readonly warn: (warning: Warning) => void;
}

/** What the header of an archive says. */
export interface ArchiveShape {
  /** Names of devices, in the order of the disks. */
  readonly devices: readonly string[];
  readonly configs: readonly VmaConfig[];
}

export type ShapeArchive = (question: ArchiveQuestion) => ArchiveShape;

/** What all configurations together may take: the devices' names need some of the header as well. */
const MAX_CONFIGS_LENGTH = VMA_MAX_PVE_HEADER_LENGTH / 2;
/** A guest has so many disks of this kind at most. */
const SCSI_SLOTS = 31;
const SLOT = /^(?:drive-)?((?:scsi|virtio|sata|ide|efidisk|tpmstate)\d{1,2})(?:-backup)?$/;

/** Devices as the labels of the disks (or their names) call them, and the configurations that there are. */
export const plainShape: ShapeArchive = ({ disks, configuration, warn }) => ({
  devices: disks.map(({ name, label }) => (label === '' ? name : label)),
  configs: fitting(configuration, warn),
});

export interface PveShape {
  /** Number of the guest in names of volumes; qmrestore gives it another if it is told to. */
  readonly vmid: number;
  /** Where qmrestore puts the disks unless it is told otherwise; default `local`. */
  readonly storage?: string | undefined;
}

/**
 * What qmrestore takes: a `qemu-server.conf` with a line for every device, and devices that are called after the slots of
 * the guest. A disk that is not called as a slot gets the next free one of SCSI, in the order of the disks.
 */
export const pveShape =
  ({ vmid, storage }: PveShape): ShapeArchive =>
  ({ guest, disks, configuration, warn }) => {
    const slots = slotsOf(disks);
    const pveDisks: PveDisk[] = disks.map(({ size }, at) => ({ slot: slots[at] ?? '', size: sectors(size), storage }));
    const base = configuration.find(({ name }) => name === PVE_CONFIG_NAME)?.content;
    const others = configuration.filter(({ name }) => name !== PVE_CONFIG_NAME);
    const own = pveConfig({ vmid, disks: pveDisks, base, name: hostName(guest) });
    const conf = { name: PVE_CONFIG_NAME, content: own };
    return { devices: slots.map(pveDeviceName), configs: fitting([conf, ...others], warn) };
  };

/** Proxmox counts in sectors. */
const sectors = (size: number): number => Math.ceil(size / 512) * 512;

function slotsOf(disks: readonly ChosenDisk[]): readonly string[] {
  const own = disks.map(({ name, label }) => SLOT.exec(label)?.[1] ?? SLOT.exec(name)?.[1]);
  const taken = new Set(own.filter((slot) => slot !== undefined));
  const free = Array.from({ length: SCSI_SLOTS }, (_, at) => `scsi${at}`).filter((slot) => !taken.has(slot));
  const given = new Set<string>();
  return own.map((slot) => {
    if (slot !== undefined && !given.has(slot)) {
      given.add(slot);
      return slot;
    }
    // More disks than slots: the last name is one that Proxmox does not have, and it is refused as that.
    return free.shift() ?? `scsi${SCSI_SLOTS}`;
  });
}

/** As much of a name as can be the name of a host; undefined if nothing is left. */
function hostName(name: string): string | undefined {
  const text = name.replace(/[^A-Za-z0-9.-]+/g, '-').replace(/^[.-]+|[.-]+$/g, '');
  return text === '' ? undefined : text.slice(0, 63).replace(/[.-]+$/, '');
}

/** An archive has little room for configurations: what does not fit is left out, and told. */
function fitting(files: readonly ConfigurationFile[], warn: (warning: Warning) => void): readonly VmaConfig[] {
  const kept: VmaConfig[] = [];
  let length = 0;
  for (const { name, content } of files) {
    const reason = misfit({ name, content }, { count: kept.length, length });
    if (reason === undefined) {
      kept.push({ name, content });
      length += content.length;
    } else {
      const message = `the configuration ${JSON.stringify(name)} is not in the archive: it ${reason}`;
      warn({ code: 'VB_VMA_LIMIT', message });
    }
  }
  return kept;
}

function misfit({ name, content }: VmaConfig, so: { count: number; length: number }): string | undefined {
  if (content.length > VMA_MAX_BLOB_LENGTH) return `has ${content.length} bytes, the most is ${VMA_MAX_BLOB_LENGTH}`;
  if (so.length + content.length > MAX_CONFIGS_LENGTH) return `does not fit beside the others`;
  if (so.count === VMA_CONFIG_SLOTS) return `would be one more than ${VMA_CONFIG_SLOTS}`;
  return unsafeNameReason(name);
}
