import { access } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { VBackupError } from '@vbackup/core';
import type { SavedDomain } from './saved-domain.js';

/** A file of the backup that is written beside the disks. */
export interface PlacedFile {
  /** Where the definition looked for it. */
  readonly was: string;
  readonly path: string;
  readonly content: Buffer;
}

export interface PlaceRequest {
  readonly folder: string;
  /** The name of the domain that is made. */
  readonly name: string;
  readonly force: boolean;
}

/**
 * Which files of the backup are written. The UEFI variables always are: they belong to the disks of that instant, and those of
 * the old place stay as they are. Loader, kernel and initrd only where the host has none at their path.
 * @throws VBackupError VB_TARGET_EXISTS
 */
export async function placeBootFiles(
  { description, bootFiles }: SavedDomain,
  { folder, name, force }: PlaceRequest,
): Promise<readonly PlacedFile[]> {
  const placed: PlacedFile[] = [];
  for (const { kind, path: was } of description.bootFiles) {
    const content = bootFiles.get(was);
    if (content === undefined || (kind !== 'nvram' && (await exists(was)))) continue;
    const own = `${name}_VARS${extname(was) || '.fd'}`;
    const path = join(folder, kind === 'nvram' ? own : basename(was));
    if (!force && (await exists(path))) {
      throw new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cure: 'name another folder, or use --force' });
    }
    placed.push({ was, path, content });
  }
  return placed;
}

/** Target names of drives whose medium is a file that is not there. */
export async function emptiedDrives({ description }: SavedDomain): Promise<ReadonlySet<string>> {
  const emptied = new Set<string>();
  for (const { device, target, image } of description.disks) {
    const isDrive = device === 'cdrom' || device === 'floppy';
    const isFile = image.type === 'file' || image.type === 'block';
    if (isDrive && isFile && image.source !== null && !(await exists(image.source))) emptied.add(target);
  }
  return emptied;
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    // Not there, or not to be seen.
    return false;
  }
}
