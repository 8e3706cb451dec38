import { EXIT } from '../exit-codes.js';
import type { CommandContext, Outcome } from './command.js';

/** Reads backups, and what they stand on, and names every damage. */
export async function verify(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal } = context;
  const { findBackup, runVerify } = await context.work();
  const repository = await context.repository({ create: false });
  const references = invocation.operands;
  const catalogue = references.length === 0 ? undefined : await repository.catalogue({ signal });
  const backups = catalogue && references.map((reference) => findBackup(catalogue, reference).manifest);
  const { checked, damage: general } = await runVerify({ repository, backups, signal, onEvent: output.work });
  for (const { manifest, damage } of checked) {
    output.item({ type: 'summary', scope: 'item', command: 'verify', backup: manifest, damage });
  }
  const failed = checked.filter((each) => each.damage.length > 0).length;
  const exitCode = failed > 0 || general.length > 0 ? EXIT.damageFound : EXIT.done;
  return { done: checked.length - failed, failed, exitCode, damage: general };
}
