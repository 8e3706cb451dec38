import type { Repository } from '@vbackup/core';
import type { CommandContext, Outcome } from '../commands/command.js';
import { EXIT } from '../exit-codes.js';
import { type InPlaceQuestion, planInPlace } from './plan-in-place.js';

/** Writes what differs into disks that are there. */
export async function restoreInPlace(
  context: CommandContext,
  question: InPlaceQuestion & { readonly repository: Repository },
): Promise<Outcome> {
  const { output, signal } = context;
  const { repository, manifest } = question;
  const { runRestoreInPlace } = await context.work();
  const steps = await planInPlace(context, question);
  for (const { disk, existing } of steps) {
    const openDevice = existing.open;
    const summary = await runRestoreInPlace({ repository, manifest, disk, openDevice, signal, onEvent: output.work });
    const { size, written, elapsedMs } = summary;
    const item = { type: 'summary', scope: 'item', command: 'restore', id: manifest.id, inPlace: true } as const;
    output.item({ ...item, disk, target: existing.label, size, written, elapsedMs });
  }
  return { done: steps.length, failed: 0, exitCode: EXIT.done };
}
