import { dirname, join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import type { Manifest } from '../manifest.js';
import type { Catalogue, Tip } from '../repository.js';
import { ancestry, missingFile } from './ancestry.js';

/** The backup of a place that an increment would stand on: the newest full or increment that none stands on. */
export async function findTip(root: string, catalogue: Catalogue): Promise<Tip> {
  const manifest = newest(catalogue.backups);
  if (manifest === undefined) {
    const damaged = catalogue.damaged[0];
    return damaged === undefined ? { kind: 'none' } : { kind: 'broken', detail: damaged.error.message };
  }
  // The damaged one may be newer, and its files have names that the next increment would take.
  const folder = join(root, manifest.chain);
  const damaged = catalogue.damaged.find(({ path }) => dirname(dirname(path)) === folder);
  if (damaged !== undefined) return { kind: 'broken', detail: damaged.error.message };
  return checked(root, manifest);
}

/** Catalogues are ordered oldest first, parents before children: the last is a leaf. */
const newest = (backups: readonly Manifest[]): Manifest | undefined =>
  backups.findLast(({ level }) => level === 'full' || level === 'inc');

async function checked(root: string, tip: Manifest): Promise<Tip> {
  try {
    const names = new Set<string>();
    for (const manifest of await ancestry(root, tip)) {
      const missing = await missingFile(root, manifest);
      if (missing !== null) return { kind: 'broken', detail: `${missing.path} ${missing.detail}` };
      for (const disk of manifest.disks) names.add(disk.name);
    }
    return { kind: 'backup', manifest: tip, checkpoint: tip.checkpoint, diskNames: [...names] };
  } catch (error) {
    if (error instanceof VBackupError && error.code === 'VB_CHAIN_BROKEN') {
      return { kind: 'broken', detail: error.message };
    }
    throw error;
  }
}
