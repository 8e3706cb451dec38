import type { Hypervisor, PreparedMachine } from '@vbackup/core';
import { UnsupportedError } from '@vbackup/core/errors';
import type { CommandContext } from '../commands/command.js';
import type { RestorePlan, RestoreQuestion } from './plan-restore.js';

/** Has the hypervisor look whether the disks of a plan can become a machine. */
export async function prepareMachine(
  context: CommandContext,
  { repository, manifest }: RestoreQuestion,
  { plan, hypervisor }: { readonly plan: RestorePlan; readonly hypervisor: Hypervisor },
): Promise<PreparedMachine> {
  const { folder } = plan;
  if (hypervisor.prepareMachine === undefined || folder === null) {
    throw new UnsupportedError('VB_UNSUPPORTED', 'this hypervisor cannot define a machine with restored disks', {
      cure: 'restore the disks without --define, and make a machine of them yourself',
    });
  }
  const { options } = context.invocation;
  const { readConfiguration } = await context.work();
  const request = {
    configuration: await readConfiguration(repository, manifest),
    name: options.text('name'),
    disks: plan.steps.flatMap(({ disk: name, image }) => (image === null ? [] : [{ name, ...image }])),
    folder: folder.path,
    force: options.flag('force'),
  };
  return hypervisor.prepareMachine(request, { signal: context.signal });
}
