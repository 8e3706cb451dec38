import type { WithSignal } from '@vbackup/core';
import { redefinitionXml } from '../../checkpoint/index.js';
import { isLibvirtError, type LibvirtConnection } from '../../connection/index.js';
import { parseDomain } from '../../domain/index.js';
import type { LibvirtContext } from '../context.js';
import { dropCheckpoint } from '../drop-checkpoint.js';
import type { OfflineEntry } from '../journal.js';
import { domainOrNull, replacedCheckpoints } from '../release.js';
import { remoteUri, requireLocal } from '../uri.js';
import { bitmapImages, type LocalImage } from './offline-disks.js';

/** After the backup is durable: deletes the checkpoints that the new one replaces, with their bitmaps. Idempotent. */
export async function finishOffline(context: LibvirtContext, entry: OfflineEntry, options: WithSignal): Promise<void> {
  await endServers(context, entry);
  if (!entry.keep) return;
  const libvirt = await context.link.get();
  const { domain, replaces } = entry;
  if ((await domainOrNull(libvirt, domain, options)) === null) return;
  const known = await replacedCheckpoints(libvirt, entry, options);
  // libvirt may have forgotten the one of the last backup, though its bitmaps are in the images.
  const names = replaces === null || known.includes(replaces) ? known : [...known, replaces];
  for (const name of names) await deleteCheckpoint(context, { entry, name }, options);
}

/** Deletes the checkpoint that was made, or half made. Idempotent. */
export async function undoOffline(context: LibvirtContext, entry: OfflineEntry, options: WithSignal): Promise<void> {
  await endServers(context, entry);
  if (entry.checkpoint !== null) await deleteCheckpoint(context, { entry, name: entry.checkpoint }, options);
}

async function endServers(context: LibvirtContext, { folders }: OfflineEntry): Promise<void> {
  for (const folder of folders) await context.images.removeFolder(folder);
}

interface Deletion {
  readonly entry: OfflineEntry;
  readonly name: string;
}

/** Of a domain that is off, or was started by now; libvirt may know of it or not, and each image have its bitmap or not. */
async function deleteCheckpoint(
  context: LibvirtContext,
  { entry, name }: Deletion,
  options: WithSignal,
): Promise<void> {
  const libvirt = await context.link.get();
  const { domain, images } = entry;
  const facts = await domainOrNull(libvirt, domain, options);
  if (facts === null) return;
  if (facts.active) return deleteOfRunning(libvirt, { entry, name }, options);
  requireLocal(await remoteUri(libvirt, context.options.uri, options), facts.name);
  // Disks that came since are in the domain only, and those that went in the notes only.
  const now = bitmapImages(parseDomain(await libvirt.domainXml(domain, options)));
  for (const { path, format } of distinct([...images, ...now])) {
    await context.images.removeBitmap({ path, format, name, ...options });
  }
  await forget(libvirt, { entry, name }, options);
}

const distinct = (images: readonly LocalImage[]): Iterable<LocalImage> =>
  new Map(images.map((image) => [image.path, image])).values();

/**
 * libvirt deletes a checkpoint only if the bitmaps of all its disks are there. So it is told of one disk after the other,
 * and those that it finds to be true are deleted.
 */
async function deleteOfRunning(
  libvirt: LibvirtConnection,
  { entry, name }: Deletion,
  options: WithSignal,
): Promise<void> {
  const { domain, creationTime, owner, images } = entry;
  await forget(libvirt, { entry, name }, options);
  for (const { target } of images) {
    const disks = [{ target, size: 0, bitmap: true }];
    const xml = redefinitionXml({ version: 1, domain, name, creationTime, disks }, owner);
    try {
      if (xml !== null) await libvirt.createCheckpoint(domain, xml, { ...options, redefine: true, validate: true });
    } catch (error) {
      if (isLibvirtError(error, ...NO_SUCH_BITMAP)) continue;
      throw error;
    }
    await dropCheckpoint(libvirt, domain, name, options);
  }
}

const NO_SUCH_BITMAP = ['VB_LIBVIRT_CHECKPOINT_INCONSISTENT', 'VB_LIBVIRT_FAILED', 'VB_LIBVIRT_UNSUPPORTED'] as const;

/** What libvirt knows of a checkpoint; the bitmaps are not touched. */
async function forget(libvirt: LibvirtConnection, { entry, name }: Deletion, options: WithSignal): Promise<void> {
  try {
    await libvirt.deleteCheckpoint(entry.domain, name, { ...options, metadataOnly: true });
  } catch (error) {
    if (!isLibvirtError(error, 'VB_LIBVIRT_NO_CHECKPOINT', 'VB_LIBVIRT_NO_DOMAIN')) throw error;
  }
}
