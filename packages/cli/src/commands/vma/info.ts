import { EXIT } from '../../exit-codes.js';
import { archiveFacts } from '../../vma/archive-facts.js';
import { archiveSource, verifySource } from '../../vma/archive-source.js';
import { structureFacts } from '../../vma/structure-facts.js';
import { warnOf } from '../../vma/warn-of.js';
import type { CommandContext, Outcome } from '../command.js';

/** Shows how an archive stores its devices; of a file that is not compressed only the headers are read. */
export async function vmaInfo(context: CommandContext): Promise<Outcome> {
  const { output, signal } = context;
  const { damageError, verifyArchive } = await import('@vbackup/core/vma');
  const source = await archiveSource(context);
  const report = await verifyArchive(verifySource(source), { mode: 'headers', signal });
  warnOf(output, report.warnings);
  const archive = archiveFacts({ path: source.name, ...report });
  output.item({ type: 'summary', scope: 'item', command: 'vma info', archive, ...structureFacts(report) });
  const [damage] = report.damages;
  if (damage !== undefined) throw damageError(damage);
  return { done: 1, failed: 0, exitCode: EXIT.done };
}
