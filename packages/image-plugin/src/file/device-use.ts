import { constants } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Warning } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { deviceName } from './device-numbers.js';

const SYSFS = '/sys/dev/block';
/** Partitions, volumes and RAIDs on one device; more are not looked at. */
const DEVICE_LIMIT = 4096;
const SECTOR_LENGTH = 512;

/** One line of /proc/self/mountinfo (proc(5)). */
export interface Mount {
  /** `8:1`; of btrfs and others it is no device of ours. */
  readonly device: string;
  readonly source: string;
  readonly point: string;
  readonly writable: boolean;
}

/** @param text - of /proc/self/mountinfo */
export function parseMounts(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, , point] = left.split(' ');
    const [, source, superOptions] = right.split(' ');
    if (device === undefined || point === undefined || source === undefined) return [];
    // The file system's own option: one of several mounts of it may be read-only.
    const writable = (superOptions ?? 'rw').split(',').includes('rw');
    return [{ device, source: unescape(source), point: unescape(point), writable }];
  });
}

/**
 * The files and devices that are swap.
 * @param text - of /proc/swaps: a line of titles, then one line each
 */
export const parseSwaps = (text: string): readonly string[] =>
  text
    .split('\n')
    .slice(1)
    .flatMap((line) => /^\S+/.exec(line)?.[0] ?? [])
    .map(unescape);

/** Spaces and such are written as `\040`. */
const unescape = (field: string): string =>
  field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/**
 * Refuses a device whose bytes a file system of this machine changes: one that is mounted for writing itself, or has a
 * partition or a volume on it that is, or is swap.
 * @returns a warning where the kernel uses the device for something else
 * @throws VBackupError VB_IMAGE_LOCKED
 */
export async function checkDeviceUse(path: string, device: bigint): Promise<Warning | null> {
  const devices = await devicesOn(deviceName(device));
  const mounts = await mountsOf(devices);
  const written = mounts.find(({ writable }) => writable);
  if (written !== undefined) {
    throw new VBackupError('VB_IMAGE_LOCKED', `${path} is mounted at ${written.point}, for writing`, {
      cure: 'back up a snapshot of it (lvcreate --snapshot), or mount it read-only (mount -o remount,ro)',
    });
  }
  if (mounts.length > 0 || !(await isClaimed(path))) return null;
  const message = `the kernel uses ${path} (LVM, RAID, swap, or a mount elsewhere): if it is written to, the backup is torn`;
  return { code: 'VB_IMAGE_LOCKED', message };
}

/** The device itself, its partitions, and what device mapper and RAID have made of them. */
async function devicesOn(device: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  const queue = [device];
  for (let next = queue.pop(); next !== undefined && found.size < DEVICE_LIMIT; next = queue.pop()) {
    if (found.has(next)) continue;
    found.add(next);
    const folder = join(SYSFS, next);
    for (const holder of await namesIn(join(folder, 'holders')))
      queue.push(await numbersIn(join(folder, 'holders', holder)));
    for (const name of await namesIn(folder)) {
      if ((await textOf(join(folder, name, 'partition'))) !== '') queue.push(await numbersIn(join(folder, name)));
    }
  }
  return found;
}

async function mountsOf(devices: ReadonlySet<string>): Promise<readonly Mount[]> {
  const mounts: Mount[] = [];
  for (const mount of parseMounts(await textOf('/proc/self/mountinfo'))) {
    const isOn = devices.has(mount.device) || devices.has(await deviceAt(mount.source));
    if (isOn) mounts.push(mount);
  }
  for (const source of parseSwaps(await textOf('/proc/swaps'))) {
    const device = await deviceAt(source);
    if (devices.has(device)) mounts.push({ device, source, point: 'swap', writable: true });
  }
  return mounts;
}

async function deviceAt(source: string): Promise<string> {
  if (!source.startsWith('/')) return '';
  try {
    const stats = await stat(source, { bigint: true });
    return stats.isBlockDevice() ? deviceName(stats.rdev) : '';
  } catch {
    // A mount of long ago may name a device that is gone.
    return '';
  }
}

/** O_EXCL on a block device: EBUSY while the kernel uses it (open(2)). */
async function isClaimed(path: string): Promise<boolean> {
  try {
    const handle = await open(path, constants.O_RDONLY + constants.O_EXCL);
    await handle.close();
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EBUSY';
  }
}

/** Bytes of a block device; null where sysfs does not say. */
export async function deviceSize(device: bigint): Promise<number | null> {
  const text = (await textOf(join(SYSFS, deviceName(device), 'size'))).trim();
  return /^\d+$/.test(text) ? Number(text) * SECTOR_LENGTH : null;
}

/** Sectors that were written to a block device, or discarded, since it is there; null where sysfs does not say. */
export async function sectorsWritten(device: bigint): Promise<number | null> {
  const fields = (await textOf(join(SYSFS, deviceName(device), 'stat'))).trim().split(/\s+/);
  // Documentation/block/stat.rst: the seventh and, since Linux 4.18, the fourteenth field.
  const [written, discarded = '0'] = [fields[6], fields[13]];
  return written === undefined ? null : Number(written) + Number(discarded);
}

const namesIn = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => []);
const textOf = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
const numbersIn = async (folder: string): Promise<string> => (await textOf(join(folder, 'dev'))).trim();
