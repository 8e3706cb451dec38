import { join, resolve } from 'node:path';
import type { OpenTarget, VmaConfig, VmaDevice, VmaHeader } from '@vbackup/core';
import type { Options } from '../grammar/invocation.js';
import { isNbdUri } from '../subject.js';
import { openFileTarget, openNbdTarget, openQcow2Target, openStreamTarget } from '../targets.js';
import { usageError } from '../usage.js';
import type { World } from '../world.js';
import { checkNames } from './check-names.js';
import { mappedDevices, namedDevices } from './choose-devices.js';

/** Where a device goes. */
export interface ExtractStep {
  readonly device: VmaDevice;
  /** For people. */
  readonly name: string;
  readonly openTarget: OpenTarget;
}

export interface ExtractPlan {
  readonly steps: readonly ExtractStep[];
  /** With their paths in the folder. */
  readonly configs: readonly { readonly config: VmaConfig; readonly path: string }[];
}

export interface PlanRequest {
  readonly world: World;
  readonly options: Options;
  /** As it was written. */
  readonly folder: string | undefined;
  /** False where someone else says where devices go. */
  readonly devices: boolean;
}

/** A target, and how it is to be written there. */
const FORMATTED = /^(.*),format=(raw|qcow2)$/s;

const MEMORY_FILE = 'vmstate.bin';

/** What the command line means for this archive; nothing is written yet. @throws VBackupError VB_VMA_…, VB_CLI_USAGE */
export async function planExtraction(header: VmaHeader, request: PlanRequest): Promise<ExtractPlan> {
  const { options, folder } = request;
  const { isVmstate, unsafeNameReason } = await import('@vbackup/core/vma');
  const { devices } = header;
  const mappings = mappedDevices(devices, options.texts('map'));
  const targetOf = new Map(mappings.map(({ device, target }) => [device, target]));
  const chosen = !request.devices ? [] : choose(devices, request, [...targetOf.keys()]);
  const configs = folder === undefined ? [] : header.configs;
  const filed = chosen.filter((device) => !targetOf.has(device));
  checkNames(
    'device',
    filed.filter((device) => !isVmstate(device)),
    unsafeNameReason,
  );
  checkNames('configuration', configs, unsafeNameReason);
  const fileOf = (device: VmaDevice): string => {
    if (isVmstate(device)) return MEMORY_FILE;
    return options.flag('compat') ? `disk-${device.name}.raw` : `${device.name}.raw`;
  };
  checkNames('file', [...filed.map((device) => ({ name: fileOf(device) })), ...configs], () => undefined);
  const steps: ExtractStep[] = [];
  for (const device of chosen) {
    const name = targetOf.get(device) ?? join(folder ?? '', fileOf(device));
    steps.push({ device, name, openTarget: await openerOf(name, request) });
  }
  return { steps, configs: configs.map((config) => ({ config, path: join(folder ?? '', config.name) })) };
}

function choose(
  devices: readonly VmaDevice[],
  { options, folder }: PlanRequest,
  mapped: readonly VmaDevice[],
): VmaDevice[] {
  const named = options.texts('device');
  const skipped = namedDevices(devices, options.texts('skip'));
  const wanted = named.length > 0 ? namedDevices(devices, named) : folder === undefined ? mapped : devices;
  const chosen = devices.filter(
    (device) => (wanted.includes(device) || mapped.includes(device)) && !skipped.includes(device),
  );
  const lost = chosen.find((device) => folder === undefined && !mapped.includes(device));
  if (lost !== undefined) throw usageError(`${lost.name} has no target`, 'name a folder, or map it');
  return chosen;
}

async function openerOf(written: string, { world, options }: PlanRequest): Promise<OpenTarget> {
  const [, target = written, format = 'raw'] = FORMATTED.exec(written) ?? [];
  const force = options.flag('force');
  if (format === 'qcow2') return openQcow2Target(resolve(world.cwd, target), { force });
  if (target === '-') return openStreamTarget(world.stdoutBytes());
  if (isNbdUri(target)) return openNbdTarget(target);
  return openFileTarget(resolve(world.cwd, target), { force, sparse: options.flag('sparse') });
}
