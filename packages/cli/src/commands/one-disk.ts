import type { Manifest } from '@vbackup/core';
import { usageError } from '../usage.js';

/** The disk of a backup that was named, or its only one. @throws VBackupError VB_CLI_USAGE */
export function oneDisk(manifest: Manifest, named: string | undefined): string {
  const names = manifest.disks.map(({ name }) => name);
  const found = named === undefined ? names[0] : names.find((name) => name === named);
  if (found === undefined) {
    throw usageError(`backup ${manifest.id} has no disk ${named ?? 'at all'}`, `it has: ${names.join(', ')}`);
  }
  if (named === undefined && names.length > 1) {
    throw usageError(`backup ${manifest.id} has ${names.length} disks`, `choose with --disk: ${names.join(', ')}`);
  }
  return found;
}
