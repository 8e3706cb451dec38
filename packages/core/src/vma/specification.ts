import { VBackupError } from '../errors/index.js';
import { VMSTATE_NAME, type VmaConfig, type VmaDevice } from './archive.js';
import { unsafeNameReason } from './safe-name.js';
import {
  VMA_CONFIG_SLOTS,
  VMA_MAX_BLOB_LENGTH,
  VMA_MAX_DEVICE_SIZE,
  VMA_MAX_PVE_DEVICE_ID,
  VMA_SECTOR_LENGTH,
  VMA_UUID_LENGTH,
} from './words.js';

/** What Proxmox puts around it in the name of a file leaves that much of 255 bytes. */
const MAX_DEVICE_NAME_LENGTH = 255 - 'tmp-disk-.raw'.length;

/** A device that is to be written. */
export interface NewVmaDevice {
  /** As in `drive-scsi0`: qmrestore finds the disk by it. `vmstate` is the guest's memory. */
  readonly name: string;
  /** Bytes that will be given. Proxmox counts in sectors of 512: the archive names the next multiple, and ends in zeros. */
  readonly size: number;
}

/** All that an archive says of itself; the same content written in the same order gives the same bytes. */
export interface NewVmaArchive {
  /** 16 bytes, in text order. */
  readonly uuid: Buffer;
  /** Seconds since 1970, UTC. */
  readonly ctime: number;
  readonly configs: readonly VmaConfig[];
  /** Get the ids 1, 2, … in this order. */
  readonly devices: readonly NewVmaDevice[];
}

/** The devices as the archive names them: with their ids, and sizes in whole sectors. */
export function numberDevices(devices: readonly NewVmaDevice[]): VmaDevice[] {
  return devices.map(({ name, size }, index) => ({ id: index + 1, name, size: wholeSectors(size) }));
}

/**
 * Refuses what the format, or Proxmox, could not take.
 * @throws VBackupError VB_VMA_LIMIT, VB_VMA_UNSAFE_NAME, VB_VMA_DUPLICATE_NAME, VB_INVALID_ARGUMENT
 */
export function checkArchive({ uuid, ctime, configs, devices }: NewVmaArchive): void {
  if (uuid.length !== VMA_UUID_LENGTH) throw argument(`a UUID of ${uuid.length} bytes, not ${VMA_UUID_LENGTH}`);
  if (!Number.isSafeInteger(ctime)) throw argument(`${ctime} is no time in whole seconds`);
  checkCount('configurations', configs.length, VMA_CONFIG_SLOTS);
  checkCount('devices', devices.length, VMA_MAX_PVE_DEVICE_ID);
  checkNames('configuration', configs);
  checkNames('device', devices);
  for (const { name, content } of configs) checkConfig(name, content);
  for (const device of devices) checkDevice(device);
}

const wholeSectors = (size: number): number => Math.ceil(size / VMA_SECTOR_LENGTH) * VMA_SECTOR_LENGTH;

function checkCount(what: string, count: number, most: number): void {
  if (count > most) throw limit(`${count} ${what}, ${most} is the most an archive can hold`);
}

function checkNames(kind: string, entries: readonly { readonly name: string }[]): void {
  const seen = new Set<string>();
  for (const { name } of entries) {
    const reason = unsafeNameReason(name);
    const shown = JSON.stringify(name.slice(0, 80));
    const cure = 'give it a name that can be the name of a file';
    if (reason !== undefined) throw new VBackupError('VB_VMA_UNSAFE_NAME', `the ${kind} ${shown} ${reason}`, { cure });
    if (seen.has(name)) throw new VBackupError('VB_VMA_DUPLICATE_NAME', `more than one ${kind} is called ${shown}`);
    seen.add(name);
  }
}

function checkConfig(name: string, content: Buffer): void {
  if (content.length <= VMA_MAX_BLOB_LENGTH) return;
  throw limit(
    `configuration ${name} of ${content.length} bytes, ${VMA_MAX_BLOB_LENGTH} is the most an archive can hold`,
  );
}

function checkDevice({ name, size }: NewVmaDevice): void {
  if (/\s/u.test(name)) {
    const cure =
      'qmrestore reads names up to the first white space: give it another, also with vma create -d format=vma:<name>=<archive>:<device>';
    throw new VBackupError('VB_VMA_UNSAFE_NAME', `the device ${JSON.stringify(name)} has white space`, { cure });
  }
  if (Buffer.byteLength(name) > MAX_DEVICE_NAME_LENGTH) {
    const cure = `Proxmox extracts it to tmp-disk-<name>.raw: give it a name of at most ${MAX_DEVICE_NAME_LENGTH} bytes`;
    throw new VBackupError('VB_VMA_UNSAFE_NAME', `the device ${name.slice(0, 80)}… has too long a name`, { cure });
  }
  if (!Number.isSafeInteger(size) || size < 0) throw argument(`device ${name} of ${size} bytes`);
  // Readers leave out a device without a size. Of memory the clusters bind, but it must be seen as well.
  if (size === 0)
    throw limit(`device ${name} is empty${name === VMSTATE_NAME ? ', say how much memory there is' : ''}`);
  if (size > VMA_MAX_DEVICE_SIZE) {
    throw limit(`device ${name} of ${size} bytes, ${VMA_MAX_DEVICE_SIZE} is the most an archive can hold`);
  }
}

const limit = (message: string): VBackupError => new VBackupError('VB_VMA_LIMIT', message);
const argument = (message: string): VBackupError => new VBackupError('VB_INVALID_ARGUMENT', message);
