import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';
import { systemCode } from '@vbackup/core/storage';

/** What the folder of a session that is gone, or of another user's (`su` keeps the variable), answers. */
const NOT_OURS: readonly (string | undefined)[] = ['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS'];

/**
 * A new folder that only this user can enter: in `XDG_RUNTIME_DIR`, else in the folder for temporary files. Whoever asks for it
 * removes it.
 * @throws VBackupError VB_IO
 */
export async function makePrivateFolder(env: Readonly<Record<string, string | undefined>>): Promise<string> {
  const runtime = env['XDG_RUNTIME_DIR'] ?? '';
  // A relative one counts as none: XDG Base Directory Specification, "Basics".
  if (isAbsolute(runtime)) {
    try {
      return await mkdtemp(join(runtime, 'vbackup-'));
    } catch (error) {
      if (!NOT_OURS.includes(systemCode(error))) throw cannotMake(runtime, error);
    }
  }
  try {
    return await mkdtemp(join(tmpdir(), 'vbackup-'));
  } catch (error) {
    throw cannotMake(tmpdir(), error);
  }
}

function cannotMake(path: string, cause: unknown): VBackupError {
  const cure = 'name a folder that is there and takes new files in TMPDIR';
  return new VBackupError('VB_IO', `cannot make a folder in ${path}: ${systemCode(cause) ?? String(cause)}`, {
    cause,
    cure,
  });
}
