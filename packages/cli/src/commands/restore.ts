import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Hypervisor, Manifest, OpenTarget } from '@vbackup/core';
import { UnsupportedError } from '@vbackup/core/errors';
import { EXIT } from '../exit-codes.js';
import { isNbdUri } from '../subject.js';
import { usageError } from '../usage.js';
import type { Work } from '../work.js';
import type { CommandContext, Outcome } from './command.js';
import { connect } from './connection.js';
import { oneDisk } from './one-disk.js';

/** `xen:sr=…`: a plugin and what it makes of the rest. A path that looks like it is written `./name:rest`. */
const PLUGIN_TARGET = /^([a-z][a-z0-9-]*):(.+)$/s;

/** Writes one disk of a backup to a target, or all of them into a folder. */
export async function restore(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal } = context;
  const [reference, target] = invocation.operands;
  if (reference === undefined || target === undefined) throw usageError('restore needs a backup and a target');
  const work = await context.work();
  const repository = await context.repository({ create: false });
  const { manifest, disk: found } = work.findBackup(await repository.catalogue({ signal }), reference);
  const named = invocation.options.text('disk') ?? found;
  const plugin = isNbdUri(target) ? undefined : PLUGIN_TARGET.exec(target)?.[1];
  await using connection = plugin === undefined ? null : await connect(context, plugin);
  const hypervisor = connection?.hypervisor ?? null;
  const plan = await planOf(context, { work, manifest, named, target, hypervisor });
  for (const { disk, name, openTarget } of plan) {
    const summary = await work.runRestore({ repository, manifest, disk, openTarget, signal, onEvent: output.work });
    const { size, written, elapsedMs } = summary;
    const item = { type: 'summary', scope: 'item', command: 'restore', id: manifest.id } as const;
    output.item({ ...item, disk, target: name, size, written, elapsedMs });
  }
  return { done: plan.length, failed: 0, exitCode: EXIT.done };
}

interface Question {
  readonly work: Work;
  readonly manifest: Manifest;
  /** The disk, if the user named one. */
  readonly named: string | undefined;
  readonly target: string;
  readonly hypervisor: Hypervisor | null;
}

interface Step {
  readonly disk: string;
  /** The target, for people. */
  readonly name: string;
  readonly openTarget: OpenTarget;
}

async function planOf(context: CommandContext, question: Question): Promise<Step[]> {
  const { invocation, world, signal } = context;
  const { work, manifest, named, target, hypervisor } = question;
  const force = invocation.options.flag('force');
  if (hypervisor !== null) {
    const [, plugin, rest = ''] = PLUGIN_TARGET.exec(target) ?? [];
    if (hypervisor.target === undefined) {
      throw new UnsupportedError('VB_UNSUPPORTED', `the hypervisor ${plugin} cannot be restored to`);
    }
    const disk = oneDisk(manifest, named);
    return [{ disk, name: target, openTarget: await hypervisor.target(rest, { signal }) }];
  }
  if (isNbdUri(target)) {
    return [{ disk: oneDisk(manifest, named), name: target, openTarget: work.openNbdTarget(target) }];
  }
  const path = resolve(world.cwd, target);
  if (!(await isFolder(path))) {
    return [{ disk: oneDisk(manifest, named), name: target, openTarget: work.openFileTarget(path, { force }) }];
  }
  const disks = named === undefined ? manifest.disks.map(({ name }) => name) : [oneDisk(manifest, named)];
  return disks.map((disk) => {
    const file = join(path, `${disk}.raw`);
    return { disk, name: file, openTarget: work.openFileTarget(file, { force }) };
  });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Whatever stands in the way is told, with the right words, when the target is opened.
    return false;
  }
}
