import { VBackupError } from '@vbackup/core/errors';
import { printable } from '../output/format.js';

const CURE = 'leave it out with --skip, or say with --map where it is to go; and ask where the archive comes from';

/** Why a name cannot be a file's, if it cannot. */
export type NameReason = (name: string) => string | undefined;

/**
 * Names of an archive that are to become names of files, before any file is made.
 * @throws VBackupError VB_VMA_UNSAFE_NAME, VB_VMA_DUPLICATE_NAME
 */
export function checkNames(what: string, named: readonly { readonly name: string }[], reasonOf: NameReason): void {
  const seen = new Set<string>();
  for (const { name } of named) {
    const reason = reasonOf(name);
    if (reason !== undefined) {
      throw new VBackupError('VB_VMA_UNSAFE_NAME', `the name of the ${what} "${printable(name)}" ${reason}`, {
        cure: CURE,
      });
    }
    if (seen.has(name)) {
      throw new VBackupError('VB_VMA_DUPLICATE_NAME', `the archive has two ${what}s ${name}`, { cure: CURE });
    }
    seen.add(name);
  }
}
