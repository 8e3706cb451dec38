import type { WithSignal } from '@vbackup/core';
import { type CheckpointDescription, parseCheckpointXml, partOf } from '../checkpoint/index.js';
import { isLibvirtError, type LibvirtConnection } from '../connection/index.js';

/**
 * Deletes a checkpoint of a running domain, also one whose bitmaps are gone or broken, as they are after QEMU was killed or where
 * another image is in a disk's place. One that is not there is as good.
 */
export async function dropCheckpoint(
  libvirt: LibvirtConnection,
  domain: string,
  name: string,
  options: WithSignal,
): Promise<void> {
  try {
    await libvirt.deleteCheckpoint(domain, name, options);
  } catch (error) {
    if (isLibvirtError(error, 'VB_LIBVIRT_NO_CHECKPOINT', 'VB_LIBVIRT_NO_DOMAIN')) return;
    if (!isLibvirtError(error, ...BROKEN)) throw error;
    await dropByDisk(libvirt, domain, name, options);
  }
}

const BROKEN = ['VB_LIBVIRT_FAILED', 'VB_LIBVIRT_CHECKPOINT_INCONSISTENT'] as const;

/**
 * libvirt does not delete a checkpoint of whose bitmaps one is missing, and to let it forget the checkpoint alone would leave the
 * others in the images for ever. So it is told of one disk after the other.
 */
async function dropByDisk(
  libvirt: LibvirtConnection,
  domain: string,
  name: string,
  options: WithSignal,
): Promise<void> {
  const told = parseCheckpointXml(await libvirt.checkpointXml(domain, name, { ...options, withoutDomain: true }));
  await libvirt.deleteCheckpoint(domain, name, { ...options, metadataOnly: true });
  for (const { target } of told.disks) await dropOfDisk(libvirt, { domain, told, target }, options);
}

async function dropOfDisk(
  libvirt: LibvirtConnection,
  { domain, told, target }: { readonly domain: string; readonly told: CheckpointDescription; readonly target: string },
  options: WithSignal,
): Promise<void> {
  const xml = partOf(told, target);
  if (xml === null) return;
  await libvirt.createCheckpoint(domain, xml, { ...options, redefine: true });
  try {
    await libvirt.deleteCheckpoint(domain, told.name, options);
  } catch (error) {
    if (!isLibvirtError(error, ...BROKEN)) throw error;
    await libvirt.deleteCheckpoint(domain, told.name, { ...options, metadataOnly: true });
  }
}
