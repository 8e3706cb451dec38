import type { Manifest } from '@vbackup/core';
import { usageError } from '../usage.js';

/** The disks that were named, in the order of the backup; all where none was. @throws VBackupError VB_CLI_USAGE */
export function chooseDisks(manifest: Manifest, named: readonly string[]): readonly string[] {
  const names = manifest.disks.map(({ name }) => name);
  const unknown = named.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw usageError(`backup ${manifest.id} has no disk ${unknown}`, `it has: ${names.join(', ')}`);
  }
  return named.length === 0 ? names : names.filter((name) => named.includes(name));
}

/** For a target that takes one. @throws VBackupError VB_CLI_USAGE */
export function onlyDisk(manifest: Manifest, disks: readonly string[]): string {
  const [disk] = disks;
  if (disk === undefined) throw usageError(`backup ${manifest.id} has no disk at all`);
  if (disks.length === 1) return disk;
  const what = `${disks.length} disks`;
  const cure = `choose with --disk: ${disks.join(', ')}; or name a folder for all of them, with / at its end`;
  throw usageError(`backup ${manifest.id} has ${what}, and this target takes one`, cure);
}
