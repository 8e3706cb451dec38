import { access } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';
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
  /** Paths of the disks: no file of the backup may take their place, whatever the definition calls it. */
  readonly disks: readonly string[];
}

/**
 * Which files of the backup are written. The UEFI variables always are: they belong to the disks of that instant, and those of
 * the old place stay as they are. Loader, kernel and initrd only where the host has none at their path.
 * @throws VBackupError VB_TARGET_EXISTS
 */
export async function placeBootFiles(
  { description, bootFiles }: SavedDomain,
  { folder, name, force, disks }: PlaceRequest,
): Promise<readonly PlacedFile[]> {
  const placed: PlacedFile[] = [];
  const taken = new Set<string>([folder, dirname(folder), ...disks]);
  for (const { kind, path: was } of description.bootFiles) {
    const content = bootFiles.get(was);
    if (content === undefined || (kind !== 'nvram' && (await exists(was)))) continue;
    let own = kind === 'nvram' ? `${name}_VARS${extname(was) || '.fd'}` : basename(was);
    // Two of them may be called alike in their folders, or like a disk; or `..`, as no honest definition has it.
    while (taken.has(join(folder, own))) own = `${kind}-${own}`;
    const path = join(folder, own);
    taken.add(path);
    if (!force && (await exists(path))) {
      throw new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cure: 'name another folder, or use --force' });
    }
    placed.push({ was, path, content });
  }
  return placed;
}

/** Paths of files that the domain needs and that are neither on this host nor written beside the disks. */
export async function missingFiles(
  { description }: SavedDomain,
  placed: readonly PlacedFile[],
): Promise<ReadonlySet<string>> {
  const missing = new Set<string>();
  const { bootFiles, emulator } = description;
  for (const path of [...bootFiles.map((file) => file.path), ...(emulator === null ? [] : [emulator])]) {
    if (!placed.some(({ was }) => was === path) && !(await exists(path))) missing.add(path);
  }
  return missing;
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
