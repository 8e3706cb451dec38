import { join, resolve } from 'node:path';
import type { VmaConfig, VmaHeader } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { EXIT } from '../../exit-codes.js';
import { usageError } from '../../usage.js';
import { archiveSource } from '../../vma/archive-source.js';
import { checkNames } from '../../vma/check-names.js';
import { warnOf } from '../../vma/warn-of.js';
import type { CommandContext, Outcome } from '../command.js';

/** The machine's own configuration, in the archives of Proxmox. */
const DEFAULT_NAME = 'qemu-server.conf';

/** Prints one configuration as it is, or writes all of them into a folder. */
export async function vmaConfig(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal } = context;
  const { options } = invocation;
  const folder = options.text('output');
  if (options.flag('all') !== (folder !== undefined)) {
    throw usageError('--all and --output belong together', 'give both, or name one configuration with --name');
  }
  const { readArchiveHeader } = await import('@vbackup/core/vma/header');
  const source = await archiveSource(context);
  const { header, warnings } = await readArchiveHeader(source.chunks(), { signal });
  warnOf(output, warnings);
  if (folder !== undefined) return await writeAll(context, header, folder);
  print(context, found(header, options.text('name') ?? DEFAULT_NAME));
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

function found({ configs }: VmaHeader, name: string): VmaConfig {
  const [config, other] = configs.filter((candidate) => candidate.name === name);
  if (config === undefined) {
    const there = configs.length === 0 ? 'it has none' : `it has ${configs.map((each) => each.name).join(', ')}`;
    throw new VBackupError('VB_VMA_NOT_FOUND', `the archive has no configuration ${name}`, { cure: there });
  }
  if (other === undefined) return config;
  throw new VBackupError('VB_VMA_DUPLICATE_NAME', `the archive has several configurations ${name}`, {
    cure: 'ask where the archive comes from',
  });
}

function print({ invocation, world, output }: CommandContext, { name, content }: VmaConfig): void {
  if (!invocation.options.flag('json')) {
    world.stdout.write(content);
    return;
  }
  const facts = { name, size: content.length, content: content.toString('utf8'), file: null };
  output.item({ type: 'summary', scope: 'item', command: 'vma config', ...facts });
}

/** Every name is looked at before the first file is made. */
async function writeAll(context: CommandContext, { configs }: VmaHeader, folder: string): Promise<Outcome> {
  const { invocation, world, output, signal } = context;
  const { makeDirectory } = await import('@vbackup/core/storage');
  const { openArchiveOutput, unsafeNameReason } = await import('@vbackup/core/vma');
  checkNames('configuration', configs, unsafeNameReason);
  const path = resolve(world.cwd, folder);
  await makeDirectory(path);
  for (const { name, content } of configs) {
    await using file = await openArchiveOutput({
      path: join(path, name),
      force: invocation.options.flag('force'),
      signal,
    });
    await file.write([content]);
    await file.finish();
    const facts = { name, size: content.length, content: null, file: join(folder, name) };
    output.item({ type: 'summary', scope: 'item', command: 'vma config', ...facts });
  }
  return { done: configs.length, failed: 0, exitCode: EXIT.done };
}
