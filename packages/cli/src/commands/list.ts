import type { Manifest } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { EXIT } from '../exit-codes.js';
import { failureOf } from '../failure.js';
import { inChainOrder } from './chains.js';
import type { CommandContext, Outcome } from './command.js';

/** Shows backups in the order of their chains; damaged manifests are warnings. */
export async function list(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal } = context;
  const repository = await context.repository({ create: false });
  const { backups, damaged } = await repository.catalogue({ signal });
  for (const { path, error } of damaged) {
    const { code, message } = failureOf(error);
    output.warning(code, message.includes(path) ? message : `${path}: ${message}`);
  }
  const wanted = invocation.operands[0];
  const shown = inChainOrder(wanted === undefined ? backups : backups.filter((backup) => isOf(backup, wanted)));
  if (wanted !== undefined && shown.length === 0) {
    throw new VBackupError('VB_BACKUP_NOT_FOUND', `no backup of ${wanted} in ${repository.location}`, {
      cure: 'vbackup list shows the guests and disks there are',
    });
  }
  for (const backup of shown) output.item({ type: 'summary', scope: 'item', command: 'list', backup });
  return { done: shown.length, failed: 0, exitCode: EXIT.done };
}

const isOf = ({ guest, disks }: Manifest, wanted: string): boolean =>
  guest.id === wanted ||
  guest.name === wanted ||
  disks.some(({ id, name, label }) => [id, name, label].includes(wanted));
