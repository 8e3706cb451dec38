import { EXIT } from '../../exit-codes.js';
import { printable } from '../../output/format.js';
import { usageError } from '../../usage.js';
import { archiveFacts } from '../../vma/archive-facts.js';
import { archiveSource } from '../../vma/archive-source.js';
import { warnOf } from '../../vma/warn-of.js';
import type { CommandContext, Outcome } from '../command.js';

/** Shows what the header of an archive says; nothing behind it is read. */
export async function vmaList(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal, world } = context;
  const compat = invocation.options.flag('compat');
  if (compat && invocation.options.flag('json')) throw usageError('--compat and --json exclude each other');
  const { compatListLines, readArchiveHeader } = await import('@vbackup/core/vma/header');
  const source = await archiveSource(context);
  const { header, compression, warnings } = await readArchiveHeader(source.chunks(), { signal });
  warnOf(output, warnings);
  if (compat) {
    // Programs get the names as they are; no name may drive a terminal.
    const lines = world.stdout.isTTY ? compatListLines(header).map(printable) : compatListLines(header);
    world.stdout.write(`${lines.join('\n')}\n`);
  } else {
    const archive = archiveFacts({ path: source.name, compression, header });
    output.item({ type: 'summary', scope: 'item', command: 'vma list', archive });
  }
  return { done: 1, failed: 0, exitCode: EXIT.done };
}
