import { open } from 'node:fs/promises';
import type { ChosenDisks, ReadChoice } from './choose-disks.js';

/** The header of a qcow2, big-endian, as far as it is looked at (qcow2.rst, "Header"). */
const HEADER_LENGTH = 24;
/** `QFI\xfb`. */
const MAGIC = Buffer.from('QFI\xfb', 'latin1');
const VERSION_AT = 4;
const CLUSTER_BITS_AT = 20;
/** Clusters have 512 bytes to 2 MiB. */
const CLUSTER_BITS = { least: 9, most: 21 };

/**
 * Looks at the headers of images on this machine, also of those that QEMU has open. A qcow2 of version 2 (`compat=0.10`) has no
 * place for a dirty bitmap, and QEMU would refuse the checkpoint of all disks because of it: such a disk is compared. An image
 * that cannot be looked at is taken for a newer one.
 */
export async function lookAtImages(chosen: ChosenDisks): Promise<ChosenDisks> {
  const disks = await Promise.all(chosen.disks.map((choice) => lookAt(choice)));
  return { ...chosen, disks };
}

async function lookAt(choice: ReadChoice): Promise<ReadChoice> {
  const { type, source } = choice.disk.image;
  if (choice.kind !== 'tracked' || source === null || (type !== 'file' && type !== 'block')) return choice;
  const header = await headerOf(source);
  if (header === null) return choice;
  if (header.readUInt32BE(VERSION_AT) === 2) {
    return { kind: 'untracked', disk: choice.disk, reason: 'a qcow2 of version 2 has no place for a dirty bitmap' };
  }
  const bits = header.readUInt32BE(CLUSTER_BITS_AT);
  const sound = bits >= CLUSTER_BITS.least && bits <= CLUSTER_BITS.most;
  return sound ? { ...choice, clusterLength: 2 ** bits } : choice;
}

/** Null if it is no qcow2. */
async function headerOf(path: string): Promise<Buffer | null> {
  const header = Buffer.alloc(HEADER_LENGTH);
  try {
    await using file = await open(path);
    await file.read(header, 0, HEADER_LENGTH, 0);
  } catch {
    // It may belong to QEMU's user alone: QEMU says what is wrong with it, if anything is.
    return null;
  }
  return header.subarray(0, MAGIC.length).equals(MAGIC) ? header : null;
}
