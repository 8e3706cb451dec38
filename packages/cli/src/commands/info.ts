import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describeStream } from '../describe-stream.js';
import { EXIT } from '../exit-codes.js';
import { usageError } from '../usage.js';
import { chainOf } from './chains.js';
import type { CommandContext, Outcome } from './command.js';

const ID_OR_PREFIX = /^[0-9a-f]{1,16}$/;

/** Shows all that a manifest knows, or what a SparseStream file says about itself. */
export async function info(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal, world } = context;
  const [reference] = invocation.operands;
  if (reference === undefined) throw usageError('info needs a backup or a file');
  const item = { type: 'summary', scope: 'item', command: 'info' } as const;
  const path = resolve(world.cwd, reference);
  if (await isStream(reference, path)) {
    output.item({ ...item, stream: await describeStream(path, { signal }) });
  } else {
    const work = await context.work();
    const repository = await context.repository({ create: false });
    const catalogue = await repository.catalogue({ signal });
    const { manifest: backup } = work.findBackup(catalogue, reference);
    output.item({ ...item, backup, chain: chainOf(backup, catalogue.backups) });
  }
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

/** A path is a file; so is a bare name that is there and cannot be an id. */
async function isStream(reference: string, path: string): Promise<boolean> {
  if (reference.includes('/')) return true;
  if (ID_OR_PREFIX.test(reference) || reference.includes('@')) return false;
  try {
    return (await stat(path)).isFile();
  } catch {
    // Not there, or not to be seen: then it is taken for a backup, and refused as one.
    return false;
  }
}
