import { tmpdir } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { ShapeArchive, VmaDevice, VmaHeader } from '@vbackup/core';
import { UnsupportedError, VBackupError } from '@vbackup/core/errors';
import { EXIT } from '../../exit-codes.js';
import { usageError } from '../../usage.js';
import { archiveSource } from '../../vma/archive-source.js';
import { chosenDevices } from '../../vma/choose-devices.js';
import { openAnyArchive } from '../../vma/open-any-archive.js';
import { readConfigs } from '../../vma/read-configs.js';
import { warnOf } from '../../vma/warn-of.js';
import { writeArchiveTo } from '../../vma/write-archive-to.js';
import type { CommandContext, Outcome } from '../command.js';

/** Writes an archive again, or some of its devices, in the order of the devices and of their clusters. */
export async function vmaRepack(context: CommandContext): Promise<Outcome> {
  const { invocation, world, output } = context;
  const [, target] = invocation.operands;
  if (target === undefined) throw usageError('repack needs an archive and a target');
  const source = await archiveSource(context);
  const replaced = await readConfigs(context);
  const { VmaHypervisor } = await import('@vbackup/core/backup/archive');
  const { withoutMapsOf } = await import('@vbackup/core/vma');
  const place = target === '-' ? tmpdir() : dirname(resolve(world.cwd, target));
  await using opened = await openAnyArchive(context, source, () => Promise.resolve(place));
  const { archive } = opened;
  const { header } = archive;
  warnOf(output, archive.warnings);
  const choice = { named: invocation.options.texts('device'), skipped: invocation.options.texts('skip') };
  const devices = chosenDevices(header.devices, choice);
  checkDevices(header.devices, devices);
  await using hypervisor = new VmaHypervisor({
    archive,
    devices,
    path: source.name,
    vmstate: true,
    warn: ({ code, message }) => output.warning(code, message),
  });
  await writeArchiveTo(context, {
    hypervisor,
    hypervisorName: 'vma',
    selector: source.name,
    notes: null,
    command: 'vma repack',
    target,
    shape: sameShape(header, { devices, replaced, withoutMapsOf }),
    uuid: header.uuid,
    ctime: header.ctime,
  });
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

function checkDevices(all: readonly VmaDevice[], chosen: readonly VmaDevice[]): void {
  if (all.length === 0) {
    throw new UnsupportedError('VB_UNSUPPORTED', 'the archive has no devices: there is nothing to put in order', {
      cure: 'copy it as it is; its configurations are written by vbackup vma config --all',
    });
  }
  if (chosen.length === 0) throw usageError('--skip leaves out every device', 'leave one of them in');
  const names = chosen.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice === undefined) return;
  throw new VBackupError('VB_VMA_DUPLICATE_NAME', `the archive has several devices ${twice}`, {
    cure: 'take one by its number with --device, or give it another name: vma create -d format=vma:<name>=<archive>:<number>',
  });
}

interface NewShape {
  readonly devices: readonly VmaDevice[];
  readonly replaced: VmaHeader['configs'];
  readonly withoutMapsOf: (content: Buffer, devices: readonly string[]) => Buffer;
}

/** The names and configurations that the archive has, unless others were named; without a word of devices that are left out. */
const sameShape = (header: VmaHeader, { devices, replaced, withoutMapsOf }: NewShape): ShapeArchive => {
  const left = header.devices.filter((device) => !devices.includes(device)).map(({ name }) => name);
  const configs = header.configs.map(({ name, content }) => ({ name, content: withoutMapsOf(content, left) }));
  return () => ({
    devices: devices.map(({ name }) => name),
    configs: replaced.length > 0 ? replaced : configs,
  });
};
