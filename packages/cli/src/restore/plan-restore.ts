import { extname, join } from 'node:path';
import type { Hypervisor, Manifest, OpenTarget, Repository, SavedImage } from '@vbackup/core';
import { UnsupportedError } from '@vbackup/core/errors';
import type { CommandContext } from '../commands/command.js';
import { RESTORE_FORMATS } from '../grammar/program.js';
import { isNbdUri } from '../subject.js';
import { usageError } from '../usage.js';
import { onlyDisk } from './choose-disks.js';
import { targetPath } from './target-path.js';

/** `xen:sr=…`: a plugin and what it makes of the rest. A path that looks like it is written `./name:rest`. */
const PLUGIN_TARGET = /^([a-z][a-z0-9-]*):(.+)$/s;

/** The plugin that a target names, and the rest of it. */
export function pluginTarget(target: string): { readonly plugin: string; readonly rest: string } | null {
  const [, plugin, rest] = isNbdUri(target) ? [] : (PLUGIN_TARGET.exec(target) ?? []);
  return plugin === undefined || rest === undefined ? null : { plugin, rest };
}

export type RestoreFormat = (typeof RESTORE_FORMATS)[number];

/** Where one disk goes. */
export interface RestoreStep {
  readonly disk: string;
  /** The target, for people. */
  readonly name: string;
  readonly openTarget: OpenTarget;
  /** Where the target is an image file. */
  readonly image: RestoredImage | null;
}

export interface RestoredImage {
  readonly path: string;
  readonly format: RestoreFormat;
}

export interface RestorePlan {
  readonly steps: readonly RestoreStep[];
  /** The folder of the images, absolute; `make` says that it must be made. */
  readonly folder: { readonly path: string; readonly make: boolean } | null;
}

export interface RestoreQuestion {
  readonly repository: Repository;
  readonly manifest: Manifest;
  /** The disks to restore, in order. */
  readonly disks: readonly string[];
  /** As it was written. */
  readonly target: string;
  /** Of the plugin that the target names. */
  readonly hypervisor: Hypervisor | null;
  /** Images become parts of a machine: they lie in a folder, each in the format that it had. */
  readonly asMachine: boolean;
}

/** What the command line means for this backup; nothing is written yet. */
export async function planRestore(context: CommandContext, question: RestoreQuestion): Promise<RestorePlan> {
  const { manifest, disks, target, hypervisor } = question;
  const named = pluginTarget(target);
  if (named === null && !isNbdUri(target)) return planImages(context, question);
  if (context.invocation.options.text('format') !== undefined) {
    throw usageError('--format is about files', `leave it out, or restore to a file`);
  }
  if (question.asMachine) throw usageError(`--define needs a folder, not ${target}`);
  const disk = onlyDisk(manifest, disks);
  const openTarget =
    named === null || hypervisor === null
      ? (await context.work()).openNbdTarget(target)
      : await pluginOpener(hypervisor, named, context.signal);
  return { steps: [{ disk, name: target, openTarget, image: null }], folder: null };
}

async function pluginOpener(
  hypervisor: Hypervisor,
  { plugin, rest }: { readonly plugin: string; readonly rest: string },
  signal: AbortSignal,
): Promise<OpenTarget> {
  if (hypervisor.target !== undefined) return hypervisor.target(rest, { signal });
  const toFiles = 'restore to files, with --define where they are to become a machine again';
  throw new UnsupportedError('VB_UNSUPPORTED', `no new disk can be restored to ${plugin}:${rest}`, {
    cure: hypervisor.existingDisks === undefined ? toFiles : `${toFiles}; or give --in-place, to write into its disks`,
  });
}

async function planImages(context: CommandContext, question: RestoreQuestion): Promise<RestorePlan> {
  const { manifest, disks, target, asMachine } = question;
  const { cwd } = context.world;
  const place = await targetPath({ target, cwd, diskCount: disks.length, needsFolder: asMachine });
  const openers = await imageOpeners(context, question);
  if (place.kind === 'file') {
    const disk = onlyDisk(manifest, disks);
    const { path } = place;
    const { format, open } = openers(disk, formatOfName(path));
    return { steps: [{ disk, name: target, openTarget: open(path), image: { path, format } }], folder: null };
  }
  const steps = disks.map((disk) => {
    const { format, open } = openers(disk);
    const file = `${disk}.${format}`;
    const path = join(place.path, file);
    return { disk, name: join(target, file), openTarget: open(path), image: { path, format } };
  });
  return { steps, folder: { path: place.path, make: !place.exists } };
}

interface ImageOpener {
  readonly format: RestoreFormat;
  readonly open: (path: string) => OpenTarget;
}

async function imageOpeners(
  context: CommandContext,
  { repository, manifest, asMachine }: RestoreQuestion,
): Promise<(disk: string, byName?: RestoreFormat) => ImageOpener> {
  const { output } = context;
  const { options } = context.invocation;
  const asked = RESTORE_FORMATS.find((format) => format === options.text('format'));
  const force = options.flag('force');
  const { openFileTarget, openQcow2Target, savedImages } = await context.work();
  const saved = asked === 'raw' ? null : await savedImages(repository, manifest);
  return (disk, byName = 'raw') => {
    const like = saved?.get(disk);
    const format = asked ?? (asMachine && like?.format === 'qcow2' ? 'qcow2' : byName);
    if (format === 'raw') return { format, open: (path) => openFileTarget(path, { force }) };
    const lost = like === undefined ? null : whatIsLost(like);
    if (lost !== null) output.warning('VB_IMAGE_FLATTENED', `${disk} becomes one qcow2 that holds everything: ${lost}`);
    return { format, open: (path) => openQcow2Target(path, { force, like }) };
  };
}

/** A raw image that is called like a qcow2 would be taken for one, and found broken. */
const formatOfName = (path: string): RestoreFormat => (extname(path).toLowerCase() === '.qcow2' ? 'qcow2' : 'raw');

/** What a restored image does not have any more. */
function whatIsLost({ backingFile, dataFile, encrypted }: SavedImage): string | null {
  const parts = [
    ...(backingFile === null ? [] : [`it stood on ${backingFile}`]),
    ...(dataFile === null ? [] : [`its clusters lay in ${dataFile}`]),
    ...(encrypted ? ['it was encrypted, and is not any more'] : []),
  ];
  return parts.length === 0 ? null : parts.join(', ');
}
