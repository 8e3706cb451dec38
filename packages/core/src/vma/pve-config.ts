import { VBackupError } from '../errors/index.js';
import { checkVmid, pveDeviceName } from './pve-name.js';

/** The configuration that `qmrestore` makes the guest from. */
export const PVE_CONFIG_NAME = 'qemu-server.conf';

/** A disk of a guest, as Proxmox knows it. */
export interface PveDisk {
  /** `scsi0`, `efidisk0`, …: its device is called after it. */
  readonly slot: string;
  /** Bytes. */
  readonly size: number;
  /** Where it lay; qmrestore takes `local` if none is said, and another if it is told to. */
  readonly storage?: string | undefined;
  /** `raw` or `qcow2`; qmrestore takes `raw` if none is said. */
  readonly format?: string | undefined;
}

export interface PveConfig {
  readonly vmid: number;
  readonly disks: readonly PveDisk[];
  /** A configuration that the guest has; without it the least that starts is made. */
  readonly base?: Buffer | undefined;
  /** Of a guest without one. */
  readonly name?: string | undefined;
}

const DEFAULT_STORAGE = 'local';
const DEFAULT_FORMAT = 'raw';
/** What vzdump leaves out: what belongs to the guest as it was, and not to its backup. */
const LEFT_OUT = /^(?:unused\d+|lock|parent|#qmdump#map):/;

/**
 * The configuration as vzdump stores it: up to its first section, without what is not backed up, with a line for every
 * disk, and with the `#qmdump#map` lines that qmrestore finds the devices by: one for each device of the archive.
 * @throws VBackupError VB_INVALID_ARGUMENT
 */
export function pveConfig({ vmid, disks, base, name }: PveConfig): Buffer {
  checkVmid(vmid);
  for (const disk of disks) checkDisk(disk);
  const kept = base === undefined ? minimal(disks, name) : linesOf(base).filter((line) => !LEFT_OUT.test(line));
  const missing = disks.filter(({ slot }) => !kept.some((line) => line.startsWith(`${slot}:`)));
  const added = missing.map((disk, index) => diskLine(disk, `vm-${vmid}-disk-${index}`));
  return Buffer.from([...kept, ...added, ...disks.map(mapLine)].map((line) => `${line}\n`).join(''));
}

/**
 * A configuration as it is for an archive that lacks some devices: qmrestore refuses one that maps a device which is not there.
 * Everything else stays as it is.
 */
export function withoutMapsOf(content: Buffer, devices: readonly string[]): Buffer {
  // Line by line as bytes: nobody promises that they are UTF-8.
  const lines = content.toString('latin1').split('\n');
  const kept = lines.filter((line) => {
    const device = /^#qmdump#map:[^:]*:([^:]*):/.exec(line)?.[1];
    return device === undefined || !devices.includes(Buffer.from(device, 'latin1').toString('utf8'));
  });
  return kept.length === lines.length ? content : Buffer.from(kept.join('\n'), 'latin1');
}

/** The lines in front of the first section: snapshots and pending changes are sections. */
function linesOf(base: Buffer): readonly string[] {
  const lines = base.toString('utf8').split(/\r?\n/);
  const section = lines.findIndex((line) => line.startsWith('['));
  const own = section < 0 ? lines : lines.slice(0, section);
  return own.slice(0, own.findLastIndex((line) => line.trim() !== '') + 1);
}

function minimal(disks: readonly PveDisk[], name: string | undefined): readonly string[] {
  const first = disks.find(({ slot }) => /^(?:scsi|virtio|sata|ide)/.test(slot));
  const lines = ['cores: 1', 'memory: 2048', 'ostype: other'];
  if (first !== undefined) lines.unshift(`boot: order=${first.slot}`);
  if (disks.some(({ slot }) => slot.startsWith('efidisk'))) lines.push('bios: ovmf');
  if (name !== undefined) lines.push(`name: ${checkText(name, /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/i)}`);
  return lines.sort();
}

const diskLine = (disk: PveDisk, volume: string): string =>
  `${disk.slot}: ${disk.storage ?? DEFAULT_STORAGE}:${volume},size=${sizeText(disk.size)}`;

const mapLine = ({ slot, storage = DEFAULT_STORAGE, format = DEFAULT_FORMAT }: PveDisk): string =>
  `#qmdump#map:${slot}:${pveDeviceName(slot)}:${storage}:${format}:`;

/** As Proxmox writes it: in the largest of K, M, G, T that gives a whole number. */
function sizeText(size: number): string {
  let value = size;
  let unit = '';
  for (const larger of ['K', 'M', 'G', 'T']) {
    if (value % 1024 !== 0) break;
    value /= 1024;
    unit = larger;
  }
  return `${value}${unit}`;
}

function checkDisk({ slot, storage = DEFAULT_STORAGE, format = DEFAULT_FORMAT }: PveDisk): void {
  pveDeviceName(slot);
  checkText(storage, /^[a-z][a-z0-9._-]*$/i);
  checkText(format, /^[a-z0-9]+$/);
}

/** Nothing gets into the configuration that could begin another line or field. */
function checkText(text: string, pattern: RegExp): string {
  if (pattern.test(text) && !text.includes('\n')) return text;
  throw new VBackupError('VB_INVALID_ARGUMENT', `${JSON.stringify(text)} cannot stand in a configuration of Proxmox`);
}
