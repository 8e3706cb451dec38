import { basename } from 'node:path';
import { BUILT_IN_PLUGINS } from '../built-in-plugins.js';
import { EXIT } from '../exit-codes.js';
import { SHELLS } from '../grammar/program.js';
import { vocabulary } from '../grammar/vocabulary.js';
import { usageError } from '../usage.js';
import type { CommandContext, Outcome } from './command.js';
import { completionScript } from './completion-scripts.js';

/** Prints the script that completes commands, options and their values in a shell. */
export async function completion({ invocation, world, output, plugins }: CommandContext): Promise<Outcome> {
  const named = invocation.operands[0] ?? basename(world.env['SHELL'] ?? '');
  const shell = SHELLS.find((known) => known === named);
  if (shell === undefined) throw usageError('which shell is to be completed is not known', 'name one: bash, zsh, fish');
  const known = await Promise.all(Object.keys(BUILT_IN_PLUGINS).map((name) => plugins.describe(name)));
  const script = completionScript(shell, vocabulary(known));
  output.item({ type: 'summary', scope: 'item', command: 'completion', script });
  return { done: 1, failed: 0, exitCode: EXIT.done };
}
