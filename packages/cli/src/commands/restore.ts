import type { FoundBackup, Repository } from '@vbackup/core';
import { EXIT } from '../exit-codes.js';
import { chooseDisks } from '../restore/choose-disks.js';
import { planRestore, pluginTarget, type RestoreStep } from '../restore/plan-restore.js';
import { usageError } from '../usage.js';
import { TargetFolder } from '../vma/target-folder.js';
import type { CommandContext, Outcome } from './command.js';
import { connect } from './connection.js';

/** Writes a disk of a backup to a target, or several into a folder. */
export async function restore(context: CommandContext): Promise<Outcome> {
  const { invocation, signal } = context;
  const [reference, target] = invocation.operands;
  if (reference === undefined || target === undefined) throw usageError('restore needs a backup and a target');
  const work = await context.work();
  const repository = await context.repository({ create: false });
  const found = work.findBackup(await repository.catalogue({ signal }), reference);
  return restoreTo(context, { repository, found, target });
}

interface Request {
  readonly repository: Repository;
  readonly found: FoundBackup;
  readonly target: string;
}

async function restoreTo(context: CommandContext, { repository, found, target }: Request): Promise<Outcome> {
  const { manifest, disk } = found;
  const named = context.invocation.options.texts('disk');
  const disks = chooseDisks(manifest, named.length === 0 && disk !== undefined ? [disk] : named);
  const plugin = pluginTarget(target)?.plugin;
  await using connection = plugin === undefined ? null : await connect(context, plugin);
  const hypervisor = connection?.hypervisor ?? null;
  const plan = await planRestore(context, { repository, manifest, disks, target, hypervisor, asMachine: false });
  await using _folder = plan.folder?.make === true ? await TargetFolder.open(plan.folder.path, { force: true }) : null;
  for (const step of plan.steps) await restoreDisk(context, { repository, manifest, step });
  return { done: plan.steps.length, failed: 0, exitCode: EXIT.done };
}

interface DiskRequest extends Pick<FoundBackup, 'manifest'> {
  readonly repository: Repository;
  readonly step: RestoreStep;
}

async function restoreDisk(context: CommandContext, { repository, manifest, step }: DiskRequest): Promise<void> {
  const { output, signal } = context;
  const { disk, name, openTarget } = step;
  const { runRestore } = await context.work();
  const summary = await runRestore({ repository, manifest, disk, openTarget, signal, onEvent: output.work });
  const { size, written, elapsedMs } = summary;
  const item = { type: 'summary', scope: 'item', command: 'restore', id: manifest.id } as const;
  output.item({ ...item, disk, target: name, size, written, elapsedMs });
}
