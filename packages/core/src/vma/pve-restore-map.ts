import { VBackupError } from '../errors/index.js';
import type { VmaDevice } from './archive.js';
import { isVmstate } from './ledger.js';

/** How qmrestore wants one device restored. */
export interface PveRestoreTarget {
  readonly device: VmaDevice;
  readonly path: string;
  /** QEMU's name of the format; undefined where qmrestore leaves it to the reader. */
  readonly format: string | undefined;
  /** False where the target reads as zeros already. */
  readonly writeZeros: boolean;
  /** `throttling.bps`: bytes per second, or undefined for no limit. */
  readonly bytesPerSecond: number | undefined;
  /** `throttling.group`: devices of one group share their rate. */
  readonly group: string | undefined;
  /** What else was asked for, as `throttling.iops=100`. */
  readonly others: readonly string[];
}

const TARGET = /^(?<options>(?:[a-z.]+=[^:]*:)*)(?<zeros>[01]):(?<rest>.*)$/s;
const SKIP = 'skip=';
const OPTIONS = ['format', 'cache', 'throttling.bps', 'throttling.group'] as const;

/**
 * Reads what qmrestore writes to the FIFO of `vma extract -r`, up to `done`: for each device `skip=<name>`, or
 * `[<option>=<value>:]…<0|1>:<name>=<path>`, where 1 asks for zeros to be written. Devices that are skipped are left out, and so is
 * a memory (`vmstate`) without a line: qmrestore writes none for it.
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
  const forgotten = devices.find((device) => !seen.has(device) && !isVmstate(device));
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
  const valueOf = (option: (typeof OPTIONS)[number]): string | undefined =>
    all.findLast((each) => each.startsWith(`${option}=`))?.slice(option.length + 1);
  return {
    device,
    path,
    format: valueOf('format'),
    writeZeros: zeros === '1',
    bytesPerSecond: rateOf(valueOf('throttling.bps'), line),
    group: valueOf('throttling.group'),
    others: all.filter((each) => !OPTIONS.some((option) => each.startsWith(`${option}=`))),
  };
}

/** As for QEMU, 0 is no limit. */
function rateOf(text: string | undefined, line: string): number | undefined {
  if (text === undefined || /^0{1,15}$/.test(text)) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw refused(`the line "${line}" has no number of bytes per second`);
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
