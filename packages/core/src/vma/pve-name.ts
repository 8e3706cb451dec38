import { VBackupError } from '../errors/index.js';

// How Proxmox names its archives and devices (pve-storage, qemu-server).

export interface PveArchive {
  /** Number of the guest, of three to nine digits. */
  readonly vmid: number;
  /** When the backup was made. */
  readonly time: Date;
  readonly compression?: 'none' | 'zstd' | undefined;
}

/**
 * The name that `qmrestore` and the storage list want: `vzdump-qemu-100-2026_11_20-10_16_58.vma.zst`, in local time.
 * @throws VBackupError VB_INVALID_ARGUMENT
 */
export function pveArchiveName({ vmid, time, compression = 'none' }: PveArchive): string {
  checkVmid(vmid);
  const date = [time.getFullYear(), time.getMonth() + 1, time.getDate()].map(twoDigits).join('_');
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(twoDigits).join('_');
  return `vzdump-qemu-${vmid}-${date}-${clock}.vma${compression === 'zstd' ? '.zst' : ''}`;
}

/** @throws VBackupError VB_INVALID_ARGUMENT for a number that no guest has */
export function checkVmid(vmid: number): void {
  if (Number.isInteger(vmid) && vmid >= 100 && vmid <= 999_999_999) return;
  const cure = 'Proxmox numbers guests from 100 to 999999999';
  throw new VBackupError('VB_INVALID_ARGUMENT', `${vmid} is no number of a guest`, { cure });
}

/** What Proxmox calls an archive while it writes: the last extension replaced by `.dat`. */
export const pvePartialPath = (path: string): string => `${path.replace(/\.[^./]+$/, '')}.dat`;

/** Numbers that a bus has (qemu-server, PVE/QemuServer/Drive.pm). */
const BUSES: Readonly<Record<string, number>> = { ide: 4, sata: 6, scsi: 31, virtio: 16, efidisk: 1, tpmstate: 1 };

/**
 * The device of an archive for a disk of a guest: `drive-scsi0` for `scsi0`.
 * @param slot - as in `qemu-server.conf`
 * @throws VBackupError VB_INVALID_ARGUMENT
 */
export function pveDeviceName(slot: string): string {
  const [, bus = '', number = ''] = /^([a-z]+)(0|[1-9]\d?)$/.exec(slot) ?? [];
  const count = Object.hasOwn(BUSES, bus) ? (BUSES[bus] ?? 0) : 0;
  if (number === '' || Number(number) >= count) {
    const cure = 'name a disk as Proxmox does: scsi0, virtio0, sata0, ide0, efidisk0, tpmstate0';
    throw new VBackupError('VB_INVALID_ARGUMENT', `${JSON.stringify(slot)} is no disk of a guest`, { cure });
  }
  return bus === 'tpmstate' ? `drive-${slot}-backup` : `drive-${slot}`;
}

const twoDigits = (value: number): string => `${value}`.padStart(2, '0');
