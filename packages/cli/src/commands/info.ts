import { describeStream } from '../describe-stream.js';
import { EXIT } from '../exit-codes.js';
import { checkExists, subjectOf } from '../subject.js';
import { usageError } from '../usage.js';
import { chainOf } from './chains.js';
import type { CommandContext, Outcome } from './command.js';

/** Shows all that a manifest knows, or what a SparseStream file says about itself. */
export async function info(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal, world } = context;
  const [reference] = invocation.operands;
  if (reference === undefined) throw usageError('info needs a backup or a file');
  const item = { type: 'summary', scope: 'item', command: 'info' } as const;
  const subject = await subjectOf(reference, world.cwd);
  if (subject.kind === 'nbd') throw usageError('info knows backups and files', 'vbackup map shows an NBD export');
  if (subject.kind === 'path') {
    await checkExists(subject);
    output.item({ ...item, stream: await describeStream(subject.path, { signal }) });
  } else {
    const work = await context.work();
    const repository = await context.repository({ create: false });
    const catalogue = await repository.catalogue({ signal });
    const { manifest: backup } = work.findBackup(catalogue, reference);
    output.item({ ...item, backup, chain: chainOf(backup, catalogue.backups) });
  }
  return { done: 1, failed: 0, exitCode: EXIT.done };
}
