import { tmpdir } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { ShapeArchive, VmaHeader } from '@vbackup/core';
import { EXIT } from '../../exit-codes.js';
import { usageError } from '../../usage.js';
import { archiveSource } from '../../vma/archive-source.js';
import { openAnyArchive } from '../../vma/open-any-archive.js';
import { readConfigs } from '../../vma/read-configs.js';
import { warnOf } from '../../vma/warn-of.js';
import { writeArchiveTo } from '../../vma/write-archive-to.js';
import type { CommandContext, Outcome } from '../command.js';

/** Writes an archive again, in the order of its devices and their clusters. */
export async function vmaRepack(context: CommandContext): Promise<Outcome> {
  const { invocation, world, output } = context;
  const [, target] = invocation.operands;
  if (target === undefined) throw usageError('repack needs an archive and a target');
  const source = await archiveSource(context);
  const replaced = await readConfigs(context);
  const { VmaHypervisor } = await import('@vbackup/core/backup/archive');
  const place = target === '-' ? tmpdir() : dirname(resolve(world.cwd, target));
  await using opened = await openAnyArchive(context, source, () => Promise.resolve(place));
  const { archive } = opened;
  const { header } = archive;
  warnOf(output, archive.warnings);
  await using hypervisor = new VmaHypervisor({
    archive,
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
    shape: sameShape(header, replaced),
    uuid: header.uuid,
    ctime: header.ctime,
  });
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

/** The names and configurations that the archive has, unless others were named. */
const sameShape =
  (header: VmaHeader, replaced: VmaHeader['configs']): ShapeArchive =>
  () => ({
    devices: header.devices.map(({ name }) => name),
    configs: replaced.length > 0 ? replaced : header.configs,
  });
