import { join } from 'node:path';
import type { Repository } from '@vbackup/core';
import type { CommandContext } from '../commands/command.js';
import { statePath } from '../configuration/paths.js';

/** Where is noted what an archive's run would leave on a hypervisor if it died, by hypervisor and guest. */
export async function archiveNotes(context: CommandContext): Promise<Repository> {
  const { world, signal } = context;
  return (await context.work()).openRepository(join(statePath(world), 'archives'), { create: true, signal });
}
