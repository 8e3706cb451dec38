import type { VmaDevice } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { usageError } from '../usage.js';

/** A device, and where the user wants it. */
export interface DeviceMapping {
  readonly device: VmaDevice;
  /** As it was written, without the name of the device. */
  readonly target: string;
}

/** Devices by name or number, from values like `a,b`. @throws VBackupError VB_VMA_NOT_FOUND, VB_VMA_DUPLICATE_NAME */
export const namedDevices = (devices: readonly VmaDevice[], values: readonly string[]): VmaDevice[] =>
  values.flatMap((value) => value.split(',')).map((name) => deviceOf(devices, name));

export interface DeviceChoice {
  /** The values of `--device`: none of them means all devices. */
  readonly named: readonly string[];
  /** The values of `--skip`. */
  readonly skipped: readonly string[];
}

/** The devices of an archive that are wanted, in its order. @throws VBackupError VB_VMA_NOT_FOUND, VB_VMA_DUPLICATE_NAME */
export function chosenDevices(devices: readonly VmaDevice[], { named, skipped }: DeviceChoice): readonly VmaDevice[] {
  const wanted = named.length > 0 ? namedDevices(devices, named) : devices;
  const left = namedDevices(devices, skipped);
  return devices.filter((device) => wanted.includes(device) && !left.includes(device));
}

/** `<name>=<target>`, by device. @throws VBackupError VB_VMA_NOT_FOUND, VB_VMA_DUPLICATE_NAME, VB_CLI_USAGE */
export function mappedDevices(devices: readonly VmaDevice[], values: readonly string[]): DeviceMapping[] {
  const mappings = values.map((value) => mappingOf(devices, value));
  const twice = mappings.find(({ device }, at) => mappings.findIndex((other) => other.device === device) !== at);
  if (twice !== undefined) throw usageError(`--map has two targets for ${twice.device.name}`);
  return mappings;
}

function mappingOf(devices: readonly VmaDevice[], value: string): DeviceMapping {
  // A name may have an equals sign in it.
  const name = devices.map((device) => device.name).find((known) => value.startsWith(`${known}=`));
  const at = name?.length ?? value.indexOf('=');
  if (at < 0) throw usageError(`--map ${value} names no target`, 'write --map <name>=<target>');
  const target = value.slice(at + 1);
  if (target === '') throw usageError(`--map ${value} names no target`, 'write --map <name>=<target>');
  return { device: deviceOf(devices, value.slice(0, at)), target };
}

function deviceOf(devices: readonly VmaDevice[], name: string): VmaDevice {
  const [device, other] = devices.filter((candidate) => candidate.name === name);
  if (other !== undefined) {
    throw new VBackupError('VB_VMA_DUPLICATE_NAME', `the archive has several devices ${name}`, {
      cure: 'name one by its number, as vbackup vma list shows it',
    });
  }
  const found = device ?? devices.find(({ id }) => String(id) === name);
  if (found !== undefined) return found;
  throw new VBackupError('VB_VMA_NOT_FOUND', `the archive has no device ${name}`, {
    cure: `it has ${devices.map((each) => each.name).join(', ') || 'none'}`,
  });
}
