import type { FoundBackup, PreparedMachine, Repository } from '@vbackup/core';
import { EXIT } from '../exit-codes.js';
import { chooseDisks } from '../restore/choose-disks.js';
import { holdImages } from '../restore/hold-images.js';
import { planRestore, pluginTarget, type RestoreQuestion } from '../restore/plan-restore.js';
import { prepareMachine } from '../restore/prepare-machine.js';
import { restoreDisks, restoreTogether } from '../restore/restore-disks.js';
import { restoreInPlace } from '../restore/restore-in-place.js';
import { usageError } from '../usage.js';
import { TargetFolder } from '../vma/target-folder.js';
import type { CommandContext, Outcome } from './command.js';
import { connect } from './connection.js';

/** Writes a disk of a backup to a target, or several into a folder, and perhaps makes a machine of them. */
export async function restore(context: CommandContext): Promise<Outcome> {
  const { invocation, signal } = context;
  const [reference, target] = invocation.operands;
  if (reference === undefined || target === undefined) throw usageError('restore needs a backup and a target');
  checkOptions(context);
  const work = await context.work();
  const repository = await context.repository({ create: false });
  const found = work.findBackup(await repository.catalogue({ signal }), reference);
  return restoreTo(context, { repository, found, target });
}

function checkOptions({ invocation: { options } }: CommandContext): void {
  const paced = ['limit-rate', 'concurrency'].find((name) => options.number(name) !== undefined);
  if (options.flag('in-place') && paced !== undefined)
    throw usageError(`--${paced} is not for --in-place`, 'leave it out');
  if (options.flag('define')) return;
  const given = ['name', 'hypervisor'].find((name) => options.text(name) !== undefined);
  if (given !== undefined) throw usageError(`--${given} is about --define`, 'give that as well, or leave it out');
}

interface Request {
  readonly repository: Repository;
  readonly found: FoundBackup;
  readonly target: string;
}

async function restoreTo(context: CommandContext, { repository, found, target }: Request): Promise<Outcome> {
  const { options } = context.invocation;
  const { manifest, disk } = found;
  const named = options.texts('disk');
  const disks = chooseDisks(manifest, named.length === 0 && disk !== undefined ? [disk] : named);
  const asMachine = options.flag('define');
  const inPlace = options.flag('in-place');
  const plugin = asMachine ? (options.text('hypervisor') ?? manifest.hypervisor) : pluginTarget(target)?.plugin;
  await using connection = plugin === undefined ? null : await connect(context, plugin);
  const hypervisor = connection?.hypervisor ?? null;
  if (inPlace) return await restoreInPlace(context, { repository, manifest, disks, target, hypervisor });
  const question: RestoreQuestion = { repository, manifest, disks, target, hypervisor, asMachine };
  const plan = await planRestore(context, question);
  const machine =
    asMachine && hypervisor !== null ? await prepareMachine(context, question, { plan, hypervisor }) : null;
  const { signal } = context;
  await using held = await holdImages(plan, { force: options.flag('force'), signal });
  await using _folder = plan.folder?.make === true ? await TargetFolder.open(plan.folder.path, { force: true }) : null;
  if (held.count === 0) await restoreDisks(context, question, plan.steps);
  else await restoreTogether(context, question, plan.steps);
  if (machine !== null) await define(context, question, machine);
  return { done: plan.steps.length, failed: 0, exitCode: EXIT.done };
}

async function define(
  { output, signal }: CommandContext,
  { manifest }: RestoreQuestion,
  prepared: PreparedMachine,
): Promise<void> {
  const { name, id } = await prepared.define({ signal });
  const item = { type: 'summary', scope: 'item', command: 'restore', id: manifest.id } as const;
  output.item({ ...item, machine: name, machineId: id });
}
