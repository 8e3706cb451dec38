import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';
import { type CopyRequest, copyDisk } from '../copy/copy-disk.js';
import { EXIT } from '../exit-codes.js';
import { checkExists, isNbdUri, looksLikeBackup, type Subject, subjectOf } from '../subject.js';
import { usageError } from '../usage.js';
import type { CommandContext, Outcome } from './command.js';

/** A place in a hypervisor, as `restore` takes it. */
const PLUGIN_TARGET = /^[a-z][a-z0-9-]*:/;
const REFLINKS = ['auto', 'always', 'never'] as const;

/** Copies a disk from and to files, devices and NBD exports; only its data takes time and space. */
export async function copy(context: CommandContext): Promise<Outcome> {
  const { invocation, output } = context;
  const [sourceName, targetName] = invocation.operands;
  if (sourceName === undefined || targetName === undefined) throw usageError('copy needs a source and a target');
  const source = await sourceOf(sourceName, context);
  const target = await targetOf(targetName, context);
  const { method, size, written, elapsedMs } = await copyDisk(context, requestOf(context, source, target));
  const verified = invocation.options.flag('verify');
  const item = { type: 'summary', scope: 'item', command: 'copy', source: sourceName, target: targetName } as const;
  output.item({ ...item, size, written, method, verified, elapsedMs });
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

async function sourceOf(name: string, { world }: CommandContext): Promise<CopyRequest['source']> {
  const subject = await subjectOf(name, world.cwd);
  if (subject.kind === 'nbd') return subject;
  if (subject.kind === 'backup' && looksLikeBackup(name)) {
    throw usageError(`${name} is a backup, and copy is for disks`, 'vbackup restore writes a backup to a target');
  }
  const path = { kind: 'path', name, path: resolve(world.cwd, name) } as const;
  await checkExists(path);
  return path;
}

async function targetOf(name: string, { world, invocation }: CommandContext): Promise<CopyRequest['target']> {
  if (isNbdUri(name)) return { kind: 'nbd', name };
  if (PLUGIN_TARGET.test(name)) {
    throw usageError(`cannot copy to ${name}`, `copy writes to files, devices and NBD; a file of that name: ./${name}`);
  }
  const path = resolve(world.cwd, name);
  await checkTarget(path, { force: invocation.options.flag('force') });
  return { kind: 'path', name, path };
}

/** Says before any work what is in the way; whoever opens the target looks again. */
async function checkTarget(path: string, { force }: { readonly force: boolean }): Promise<void> {
  const found = await lookAt(path);
  if (found === null) {
    const folder = dirname(path);
    if ((await lookAt(folder)) !== null) return;
    throw new VBackupError('VB_FILE_NOT_FOUND', `there is no folder ${folder}`, { cure: 'make it, or name another' });
  }
  if (found.isBlockDevice() || (found.isFile() && force)) return;
  if (found.isFile()) {
    throw new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cure: 'name another file, or use --force' });
  }
  throw new VBackupError('VB_TARGET_INVALID', `${path} is neither a file nor a block device`, {
    cure: found.isDirectory() ? `name a file in it, such as ${join(path, 'disk.raw')}` : 'name a file or a device',
  });
}

/** Null where there is nothing. */
async function lookAt(path: string): Promise<Stats | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return null;
    throw error;
  }
}

function requestOf(
  { invocation: { options } }: CommandContext,
  source: CopyRequest['source'],
  target: CopyRequest['target'],
): CopyRequest {
  const overNbd = source.kind === 'nbd' || target.kind === 'nbd';
  const connections = options.number('connections');
  const limitRate = options.number('limit-rate');
  const reflink = REFLINKS.find((known) => known === options.text('reflink'));
  if (limitRate !== undefined && reflink === 'always') {
    throw usageError('--limit-rate is about copying, and --reflink always copies nothing', 'leave one of them out');
  }
  if (overNbd && reflink === 'always') throw usageError('--reflink always is about two files', 'leave it out');
  if (!overNbd && connections !== undefined) throw usageError('--connections is about NBD', 'leave it out');
  if (isSame(source, target)) {
    throw new VBackupError('VB_FILE_SAME', `${source.name} is the source and the target`, {
      cure: 'name another target',
    });
  }
  return {
    source,
    target,
    reflink,
    connections,
    limitRate,
    force: options.flag('force'),
    verify: options.flag('verify'),
  };
}

/** Of two paths the copy itself finds out, whatever they are called. */
const isSame = (source: Subject, target: Subject): boolean =>
  source.kind === 'nbd' && target.kind === 'nbd' && source.name === target.name;
