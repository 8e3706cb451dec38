import { VBackupError } from '../errors/index.js';
import type { VmaDevice } from './archive.js';

/** How qmrestore wants one device restored. */
export interface PveRestoreTarget {
  readonly device: VmaDevice;
  readonly path: string;
  /** QEMU's name of the format; undefined where qmrestore leaves it to the reader. */
  readonly format: string | undefined;
  /** False where the target reads as zeros already. */
  readonly writeZeros: boolean;
  /** What else was asked for, as `throttling.bps=1048576`. */
  readonly others: readonly string[];
}

const TARGET = /^(?<options>(?:[a-z.]+=[^:]*:)*)(?<zeros>[01]):(?<rest>.*)$/s;
const SKIP = 'skip=';

/**
 * Reads what qmrestore writes to the FIFO of `vma extract -r`, up to `done`: for each device `skip=<name>`, or
 * `[<option>=<value>:]…<0|1>:<name>=<path>`, where 1 asks for zeros to be written. Devices that are skipped are left out.
 * @throws VBackupError VB_INVALID_ARGUMENT for a line that is neither, a device without a line or with two, an unknown one
 */
export function parseRestoreMap(lines: readonly string[], devices: readonly VmaDevice[]): PveRestoreTarget[] {
  const targets: PveRestoreTarget[] = [];
  const seen = new Set<VmaDevice>();
  for (const line of lines) {
    const target = line.startsWith(SKIP) ? undefined : targetOf(line, devices);
    const device = target?.device ?? named(devices, line.slice(SKIP.length), line);
    if (seen.has(device)) throw refused(`${device.name} has two lines`);
    seen.add(device);
    if (target !== undefined) targets.push(target);
  }
  const forgotten = devices.find((device) => !seen.has(device));
  if (forgotten !== undefined) throw refused(`there is no line for the device ${forgotten.name}`);
  return targets;
}

function targetOf(line: string, devices: readonly VmaDevice[]): PveRestoreTarget {
  const { options = '', zeros, rest = '' } = TARGET.exec(line)?.groups ?? {};
  // A name may have an equals sign in it, and a path certainly may.
  const device = devices.find(({ name }) => rest.startsWith(`${name}=`));
  const path = device === undefined ? '' : rest.slice(device.name.length + 1);
  if (zeros === undefined || device === undefined || path === '') throw refused(`the line "${line}" says nothing`);
  const all = options.split(':').filter(Boolean);
  const format = all.find((option) => option.startsWith('format='))?.slice('format='.length);
  return {
    device,
    path,
    format,
    writeZeros: zeros === '1',
    others: all.filter((each) => !/^(format|cache)=/.test(each)),
  };
}

function named(devices: readonly VmaDevice[], name: string, line: string): VmaDevice {
  const device = devices.find((candidate) => candidate.name === name);
  if (device === undefined) throw refused(`the line "${line}" names a device that the archive does not have`);
  return device;
}

const refused = (what: string): VBackupError =>
  new VBackupError('VB_INVALID_ARGUMENT', `cannot restore as the FIFO says: ${what}`, {
    cure: 'write a line for every device: skip=<name>, or <0|1>:<name>=<path>; then done',
  });
