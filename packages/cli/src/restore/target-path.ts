import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';

/** Where files of a restore go: into one, or into a folder that holds one per disk. */
export type TargetPath =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'folder'; readonly path: string; readonly exists: boolean };

export interface TargetQuestion {
  /** As it was written. */
  readonly target: string;
  readonly cwd: string;
  readonly diskCount: number;
  /** Files go beside the disks, so that nothing else will do. */
  readonly needsFolder: boolean;
}

/** A name like these is meant for one disk, however many there are. */
const IMAGE_NAME = /\.(raw|img|qcow2|bin|dd)$/i;

/**
 * What the word on the command line means. A folder that does not exist yet is meant by a slash at its end, and by several
 * disks, unless it is called like an image.
 * @throws VBackupError VB_FILE_NOT_FOUND where a file's folder is missing
 */
export async function targetPath({ target, cwd, diskCount, needsFolder }: TargetQuestion): Promise<TargetPath> {
  const path = resolve(cwd, target);
  const found = await kindOf(path);
  if (found === 'folder') return { kind: 'folder', path, exists: true };
  const several = diskCount > 1 && found === 'nothing' && !IMAGE_NAME.test(basename(path));
  if (needsFolder || several || target.endsWith('/')) return { kind: 'folder', path, exists: false };
  const parent = dirname(path);
  if (found === 'nothing' && (await kindOf(parent)) === 'nothing') {
    throw new VBackupError('VB_FILE_NOT_FOUND', `there is no folder ${parent}`, {
      cure: 'make it; or write / at the end of the target, to have a folder made for the disks',
    });
  }
  return { kind: 'file', path };
}

/** Whatever else stands in the way is told, with the right words, when the target is opened. */
async function kindOf(path: string): Promise<'folder' | 'nothing' | 'other'> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'other';
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'nothing' : 'other';
  }
}
