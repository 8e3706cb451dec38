import type { BlockReader, MapMethod } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { EXIT } from '../exit-codes.js';
import { METHODS } from '../grammar/program.js';
import { type BackupDisk, BackupDisks } from '../map/backup-disk.js';
import { changedDevice, changedImage } from '../map/changed-disk.js';
import { mapTable } from '../map/map-table.js';
import { totalsOf } from '../map/map-totals.js';
import { type MappedDisk, mappedImage, openExport, openPath } from '../map/mapped-disk.js';
import { openReader } from '../map/open-reader.js';
import { writeAll } from '../output/write-all.js';
import { looksLikeBackup, type Subject, subjectOf } from '../subject.js';
import { usageError } from '../usage.js';
import { warnOfFormat } from '../warn-of-format.js';
import type { CommandContext, Outcome } from './command.js';

/** Shows which parts of a disk hold data, or which differ from a backup of it. */
export async function map(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal, world } = context;
  const { options } = invocation;
  const [operand] = invocation.operands;
  if (operand === undefined) throw usageError('map needs a file, a device, an NBD URI or a backup');
  const subject = await subjectOf(operand, world.cwd);
  const since = options.text('changed-since');
  checkOptions(context, subject);
  await using disk = since === undefined ? await open(context, subject) : await openChanged(context, subject, since);
  if (options.flag('totals')) {
    const { size, method, fileSystem } = disk;
    const totals = { ...(await totalsOf(disk.extents(signal))), method, fileSystem, changedSince: since ?? null };
    output.item({ type: 'summary', scope: 'item', command: 'map', disk: operand, size, ...totals });
  } else if (options.flag('json')) {
    await writeAll(world.stdout, disk.json(signal));
  } else {
    const physical = disk.method === 'fiemap';
    await writeAll(world.stdout, mapTable(disk.extents(signal), { size: disk.size, physical }));
  }
  signal.throwIfAborted();
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

function checkOptions({ invocation: { options } }: CommandContext, subject: Subject): void {
  const since = options.text('changed-since');
  if (options.text('method') !== undefined && (subject.kind !== 'path' || since !== undefined)) {
    throw usageError('--method is about files and devices of this machine', 'leave it out');
  }
  if (options.text('disk') !== undefined && subject.kind !== 'backup' && since === undefined) {
    throw usageError('--disk is about backups', 'leave it out');
  }
}

async function open(context: CommandContext, subject: Subject): Promise<MappedDisk> {
  const { signal, invocation } = context;
  switch (subject.kind) {
    case 'path': {
      const method = methodOf(invocation.options.text('method'));
      return openPath(subject, { method, signal, onWarning: warnerOf(context) });
    }
    case 'nbd':
      return openExport(subject.name, { signal });
    case 'backup': {
      const backups = new BackupDisks(context);
      return mappedImage(await backups.open(await findBackup(backups, subject.name)));
    }
  }
}

async function openChanged(context: CommandContext, subject: Subject, since: string): Promise<MappedDisk> {
  const backups = new BackupDisks(context);
  if (subject.kind === 'backup') {
    const newer = await findBackup(backups, subject.name);
    const older = await backups.findSame(newer, since);
    const from = await backups.open(older);
    return changedImage(from, await closingOnFailure(from, () => backups.open(newer)));
  }
  if (subject.kind === 'path') await warnOfFormat(subject, { work: 'compare', output: context.output });
  const from = await backups.open(await backups.find(since));
  const openDevice = (): Promise<BlockReader> =>
    openReader(subject, { signal: context.signal, onWarning: warnerOf(context) });
  return changedDevice(from, await closingOnFailure(from, openDevice));
}

/** A word that is neither the id of a backup nor `<disk>@…` may have been meant as the name of a file. */
async function findBackup(backups: BackupDisks, name: string): Promise<BackupDisk> {
  try {
    return await backups.find(name);
  } catch (error) {
    if (looksLikeBackup(name) || !(error instanceof VBackupError) || !NOTHING_THERE.includes(error.code)) throw error;
    throw new VBackupError('VB_FILE_NOT_FOUND', `there is no file ${name}, and no backup of that name`, {
      cause: error,
      cure: `check the name; where it is a disk that was backed up, write ${name}@latest`,
    });
  }
}

const NOTHING_THERE: readonly string[] = ['VB_REPOSITORY_NOT_FOUND', 'VB_BACKUP_NOT_FOUND'];

async function closingOnFailure<Result>(opened: AsyncDisposable, openNext: () => Promise<Result>): Promise<Result> {
  try {
    return await openNext();
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

const warnerOf =
  ({ output }: CommandContext) =>
  ({ code, message }: { readonly code: string; readonly message: string }): void =>
    output.warning(code, message);

const methodOf = (text: string | undefined): MapMethod | 'auto' => METHODS.find((known) => known === text) ?? 'auto';
