import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Manifest, OpenTarget, Repository } from '@vbackup/core';
import { openFileTarget, openQcow2Target, openStreamTarget } from '../targets.js';
import { usageError } from '../usage.js';
import type { CommandContext } from './command.js';
import { oneDisk } from './one-disk.js';

export interface ExportDisks {
  readonly repository: Repository;
  readonly manifest: Manifest;
  /** The disk, if the user named one. */
  readonly named: string | undefined;
  readonly format: 'raw' | 'qcow2';
  /** As it was written: a file, a folder for all disks, or of raw `-`. */
  readonly target: string;
}

/** Writes disks of a backup into images, one after the other. */
export async function exportDisks(context: CommandContext, request: ExportDisks): Promise<number> {
  const { output, signal } = context;
  const { repository, manifest, target } = request;
  const { runRestore } = await context.work();
  const steps = await stepsOf(context, request);
  for (const { disk, name, openTarget } of steps) {
    const summary = await runRestore({ repository, manifest, disk, openTarget, signal, onEvent: output.work });
    // Nothing else may stand in a stream that is a disk.
    if (target === '-') continue;
    const { size, written, elapsedMs } = summary;
    const item = { type: 'summary', scope: 'item', command: 'export', id: manifest.id } as const;
    output.item({ ...item, disk, target: name, size, written, elapsedMs });
  }
  return steps.length;
}

interface Step {
  readonly disk: string;
  /** The target, for people. */
  readonly name: string;
  readonly openTarget: OpenTarget;
}

async function stepsOf(context: CommandContext, { manifest, named, format, target }: ExportDisks): Promise<Step[]> {
  const { world, invocation } = context;
  const force = invocation.options.flag('force');
  if (target === '-') {
    if (format !== 'raw') throw usageError('qcow2 cannot be written to standard output', 'name a file, or use raw');
    if (invocation.options.flag('json')) throw usageError('--json and a disk cannot both go to standard output');
    return [{ disk: oneDisk(manifest, named), name: '-', openTarget: openStreamTarget(world.stdoutBytes()) }];
  }
  const open = (path: string): OpenTarget =>
    format === 'raw' ? openFileTarget(path, { force }) : openQcow2Target(path, { force });
  const path = resolve(world.cwd, target);
  if (!(await isFolder(path))) return [{ disk: oneDisk(manifest, named), name: target, openTarget: open(path) }];
  const disks = named === undefined ? manifest.disks.map(({ name }) => name) : [oneDisk(manifest, named)];
  return disks.map((disk) => {
    const file = `${disk}.${format}`;
    return { disk, name: join(target, file), openTarget: open(join(path, file)) };
  });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Whatever is in the way is told when the target is opened.
    return false;
  }
}
