import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';

const NBD_URI = /^nbds?(\+[a-z]+)?:\/\//;
/** Images that `--hypervisor file` backs up go by their path. */
const BACKUP_OF_PATH = /@(latest|\d{4}[^/]*)$/;
const ID_OR_PREFIX = /^[0-9a-f]{1,16}$/;

/** What a word of the command line means: something on this machine, an NBD export, or a backup. */
export type Subject =
  | {
      readonly kind: 'path';
      /** As it was written. */
      readonly name: string;
      /** Absolute. */
      readonly path: string;
    }
  | { readonly kind: 'nbd'; readonly name: string }
  | { readonly kind: 'backup'; readonly name: string };

export const isNbdUri = (word: string): boolean => NBD_URI.test(word);

/** A word with a slash is a path, unless only a backup of a path can be meant; so is the name of something that is there and that cannot be the id of a backup. */
export async function subjectOf(name: string, cwd: string): Promise<Subject> {
  if (isNbdUri(name)) return { kind: 'nbd', name };
  const path = resolve(cwd, name);
  if (name.includes('/')) {
    const isBackup = BACKUP_OF_PATH.test(name) && !(await exists(path));
    return isBackup ? { kind: 'backup', name } : { kind: 'path', name, path };
  }
  if (!looksLikeBackup(name) && (await exists(path))) return { kind: 'path', name, path };
  return { kind: 'backup', name };
}

/** An id, a prefix of one, `<disk>@latest` or `<disk>@<time>`. */
export const looksLikeBackup = (name: string): boolean => ID_OR_PREFIX.test(name) || name.includes('@');

export interface CheckedName {
  /** As it was written. */
  readonly name: string;
  readonly path: string;
  readonly cure?: string;
}

const CURE_OF_MISSING = 'check the name; a backup has an id or is written <disk>@latest, as vbackup list shows them';

/** @throws VBackupError VB_FILE_NOT_FOUND; anything else that is in the way is told by whoever opens it */
export async function checkExists({ name, path, cure = CURE_OF_MISSING }: CheckedName): Promise<void> {
  try {
    await stat(path);
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause)) throw cause;
    if (cause.code !== 'ENOENT' && cause.code !== 'ENOTDIR') return;
    throw new VBackupError('VB_FILE_NOT_FOUND', `there is no ${name}`, {
      cause,
      cure,
    });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    // Not there, or not to be seen: then it is taken for a backup, and refused as one.
    return false;
  }
}
