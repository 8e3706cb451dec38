import { EXIT } from '../exit-codes.js';
import { usageError } from '../usage.js';
import { archiveSource } from '../vma/archive-source.js';
import { openAnyArchive } from '../vma/open-any-archive.js';
import { warnOf } from '../vma/warn-of.js';
import type { CommandContext, Outcome } from './command.js';

const LEVELS = ['auto', 'full', 'copy'] as const;
const COMPRESSIONS = ['lz4', 'none'] as const;

/** Makes a backup of an archive: of the guest that it is of, beside that guest's other imports. */
export async function importBackup(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal } = context;
  const { options, operands } = invocation;
  const [, name] = operands;
  if (name === undefined) throw usageError('nothing to import was named');
  const source = await archiveSource(context, name);
  const { VmaHypervisor } = await import('@vbackup/core');
  const repository = await context.repository({ create: true });
  const { runBackup } = await context.work();
  await using opened = await openAnyArchive(context, source, () => context.repositoryPath());
  const { archive } = opened;
  warnOf(output, archive.warnings);
  await using hypervisor = new VmaHypervisor({
    archive,
    path: source.name,
    vmstate: false,
    warn: ({ code, message }) => output.warning(code, message),
  });
  const { manifest, elapsedMs } = await runBackup({
    hypervisor,
    hypervisorName: 'vma',
    repository,
    selector: source.name,
    level: LEVELS.find((known) => known === options.text('level')),
    compression: COMPRESSIONS.find((known) => known === options.text('compress')),
    onEvent: output.work,
    signal,
  });
  output.item({ type: 'summary', scope: 'item', command: 'import', backup: manifest, elapsedMs });
  return { done: 1, failed: 0, exitCode: EXIT.done };
}
