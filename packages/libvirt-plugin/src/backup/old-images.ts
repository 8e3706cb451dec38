import { open } from 'node:fs/promises';
import type { ChosenDisks, ReadChoice } from './choose-disks.js';

/** Magic `QFI\xfb` and the version, big-endian (qcow2.rst, "Header"). */
const HEADER_LENGTH = 8;
const MAGIC = Buffer.from('QFI\xfb', 'latin1');

/**
 * A qcow2 of version 2 (`compat=0.10`) has no place for a dirty bitmap, and QEMU would refuse the checkpoint of all disks
 * because of it: such a disk is compared. An image that cannot be looked at is taken for a newer one.
 */
export async function withoutBitmapsInOldImages(chosen: ChosenDisks): Promise<ChosenDisks> {
  const disks = await Promise.all(chosen.disks.map((choice) => asOld(choice)));
  return { ...chosen, disks };
}

async function asOld(choice: ReadChoice): Promise<ReadChoice> {
  const { type, source } = choice.disk.image;
  if (choice.kind !== 'tracked' || source === null || (type !== 'file' && type !== 'block')) return choice;
  if ((await versionOf(source)) !== 2) return choice;
  return { kind: 'untracked', disk: choice.disk, reason: 'a qcow2 of version 2 has no place for a dirty bitmap' };
}

async function versionOf(path: string): Promise<number | null> {
  const header = Buffer.alloc(HEADER_LENGTH);
  try {
    await using file = await open(path);
    await file.read(header, 0, HEADER_LENGTH, 0);
  } catch {
    // It may belong to QEMU's user alone: QEMU says what is wrong with it, if anything is.
    return null;
  }
  return header.subarray(0, MAGIC.length).equals(MAGIC) ? header.readUInt32BE(MAGIC.length) : null;
}
