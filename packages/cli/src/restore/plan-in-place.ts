import { open } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import type { ExistingDisk, Hypervisor, Manifest } from '@vbackup/core';
import { UnsupportedError, VBackupError } from '@vbackup/core/errors';
import type { CommandContext } from '../commands/command.js';
import { checkExists, isNbdUri } from '../subject.js';
import { usageError } from '../usage.js';
import { onlyDisk } from './choose-disks.js';
import { pluginTarget } from './plan-restore.js';

export interface InPlaceQuestion {
  readonly manifest: Manifest;
  readonly disks: readonly string[];
  /** As it was written. */
  readonly target: string;
  readonly hypervisor: Hypervisor | null;
}

/**
 * Finds the disk for each disk of the backup that is restored, in the same order.
 * @throws VBackupError VB_IMAGE_FORMAT, VB_FILE_NOT_FOUND, VB_CLI_USAGE
 */
export async function existingDisks(
  context: CommandContext,
  question: InPlaceQuestion,
): Promise<readonly ExistingDisk[]> {
  const { manifest, disks, target, hypervisor } = question;
  const named = pluginTarget(target);
  if (named === null || hypervisor === null) {
    onlyDisk(manifest, disks);
    return [await existingImage(context, target)];
  }
  if (context.invocation.options.text('format') !== undefined) throw usageError('--format is about files');
  if (hypervisor.existingDisks === undefined) {
    throw new UnsupportedError('VB_UNSUPPORTED', `${named.plugin} cannot change its disks where they lie`, {
      cure: 'restore without --in-place',
    });
  }
  const guestId = manifest.hypervisor === named.plugin ? manifest.guest.id : null;
  const force = context.invocation.options.flag('force');
  return hypervisor.existingDisks({ target: named.rest, disks, guestId, force }, { signal: context.signal });
}

async function existingImage(context: CommandContext, target: string): Promise<ExistingDisk> {
  const { world, invocation } = context;
  if (isNbdUri(target)) throw usageError('--in-place needs a file, a block device or a domain', 'leave it out for NBD');
  const path = resolve(world.cwd, target);
  await checkExists({ name: target, path, cure: 'leave out --in-place, to have it made' });
  const format = await formatOf(path, invocation.options.text('format'));
  const { openImageDevice } = await import('@vbackup/core/qemu');
  return { label: target, open: openImageDevice(path, { format }) };
}

/**
 * The format that was given, else what the name says. A header that says something else is not believed, for a guest may have
 * written it, and not ignored either: writing to the wrong one destroys the image.
 */
async function formatOf(path: string, asked: string | undefined): Promise<string> {
  const { imageFormatOf, IMAGE_HEAD_LENGTH } = await import('@vbackup/core/qemu');
  const { withIo } = await import('@vbackup/core/storage');
  if (asked === 'raw') return asked;
  const head = Buffer.alloc(IMAGE_HEAD_LENGTH);
  const found = await withIo(`cannot read ${path}`, async () => {
    await using file = await open(path);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return imageFormatOf(head.subarray(0, bytesRead)) ?? 'raw';
  });
  const format = asked ?? (extname(path).toLowerCase() === '.qcow2' ? 'qcow2' : 'raw');
  if (found === format) return format;
  throw new VBackupError('VB_IMAGE_FORMAT', `${path} would be written as ${format}, and begins as ${found}`, {
    cure: found === 'qcow2' ? 'give --format qcow2 if it is one, else --format raw' : 'give --format raw',
  });
}
