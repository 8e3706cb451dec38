import { resolve } from 'node:path';
import type { Hypervisor } from '@vbackup/core';
import { EXIT } from '../exit-codes.js';
import { checkExists } from '../subject.js';
import { usageError } from '../usage.js';
import { archiveSource } from '../vma/archive-source.js';
import { openAnyArchive } from '../vma/open-any-archive.js';
import { warnOf } from '../vma/warn-of.js';
import type { CommandContext, Outcome } from './command.js';

const LEVELS = ['auto', 'full', 'copy'] as const;
const COMPRESSIONS = ['lz4', 'none'] as const;

/** Makes a backup of what another tool made: of the guest that it is of, beside that guest's other imports. */
export async function importBackup(context: CommandContext): Promise<Outcome> {
  const [format, name] = context.invocation.operands;
  if (name === undefined) throw usageError('nothing to import was named');
  if (format === 'stream') await importStream(context, name);
  else await importArchive(context, name);
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

async function importArchive(context: CommandContext, name: string): Promise<void> {
  const { output } = context;
  const source = await archiveSource(context, name);
  const { VmaHypervisor } = await import('@vbackup/core/backup/archive');
  await using opened = await openAnyArchive(context, source, () => context.repositoryPath());
  const { archive } = opened;
  warnOf(output, archive.warnings);
  await using hypervisor = new VmaHypervisor({
    archive,
    path: source.name,
    vmstate: false,
    warn: ({ code, message }) => output.warning(code, message),
  });
  await importFrom(context, { hypervisor, hypervisorName: 'vma', selector: source.name });
}

async function importStream(context: CommandContext, name: string): Promise<void> {
  const path = resolve(context.world.cwd, name);
  await checkExists({ name, path });
  const { StreamHypervisor } = await import('@vbackup/core/backup/archive');
  await using hypervisor = new StreamHypervisor(path);
  await importFrom(context, { hypervisor, hypervisorName: 'stream', selector: name });
}

interface ImportSource {
  readonly hypervisor: Hypervisor;
  readonly hypervisorName: string;
  readonly selector: string;
}

async function importFrom(context: CommandContext, source: ImportSource): Promise<void> {
  const { invocation, output, signal } = context;
  const { options } = invocation;
  const repository = await context.repository({ create: true });
  const { runBackup } = await context.work();
  const { manifest, elapsedMs } = await runBackup({
    ...source,
    repository,
    level: LEVELS.find((known) => known === options.text('level')),
    compression: COMPRESSIONS.find((known) => known === options.text('compress')),
    onEvent: output.work,
    signal,
  });
  const place = await context.repositoryPath();
  output.item({
    type: 'summary',
    scope: 'item',
    command: 'import',
    backup: manifest,
    repository: place,
    elapsedMs,
  });
}
