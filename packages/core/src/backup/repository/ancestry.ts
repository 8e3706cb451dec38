import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import { ignoringMissing } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import type { Manifest } from '../manifest.js';
import { readManifest } from './manifest-file.js';
import { manifestPath } from './names.js';

/** No chain is longer; it bounds the walk through parents that a foreign hand may have linked into a circle. */
const CHAIN_LENGTH_LIMIT = 100_000;

/**
 * A backup and all that it stands on, newest first.
 * @throws VBackupError VB_CHAIN_BROKEN: a link is missing, damaged, of another guest, or leads in a circle
 */
export async function ancestry(root: string, manifest: Manifest): Promise<readonly Manifest[]> {
  const row = [manifest];
  for (let child = manifest; child.parent !== null; ) {
    const parent = await readParent(root, child, child.parent);
    if (row.length >= CHAIN_LENGTH_LIMIT || row.some((known) => known.id === parent.id)) {
      throw broken(child, `its parents lead in a circle at ${parent.id}`);
    }
    if (parent.guest.id !== child.guest.id || parent.hypervisor !== child.hypervisor) {
      throw broken(child, `its parent ${parent.id} belongs to another guest`);
    }
    row.push(parent);
    child = parent;
  }
  return row;
}

async function readParent(root: string, child: Manifest, parent: string): Promise<Manifest> {
  const path = join(root, child.chain, manifestPath(parent));
  const manifest = await readManifest(path).catch((error: unknown) => {
    throw broken(child, `its parent ${parent} cannot be read`, error);
  });
  if (manifest.id !== parent) throw broken(child, `the manifest of its parent ${parent} is that of ${manifest.id}`);
  if (manifest.chain !== child.chain) throw broken(child, `its parent ${parent} belongs to ${manifest.chain}`);
  return manifest;
}

/** A file of a backup that is not what its manifest says, as far as its size tells; null if all are. */
export async function missingFile(
  root: string,
  manifest: Manifest,
): Promise<{
  readonly code: 'VB_FILE_MISSING' | 'VB_FILE_SIZE';
  readonly path: string;
  readonly detail: string;
} | null> {
  for (const file of manifest.files) {
    const path = join(root, manifest.chain, file.path);
    const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(() => stat(path)));
    if (found === null || !found.isFile()) return { code: 'VB_FILE_MISSING', path, detail: 'is missing' };
    if (found.size !== file.size) {
      return { code: 'VB_FILE_SIZE', path, detail: `has ${found.size} bytes instead of ${file.size}` };
    }
  }
  return null;
}

const broken = (manifest: Manifest, detail: string, cause?: unknown): VBackupError =>
  new VBackupError('VB_CHAIN_BROKEN', `backup ${manifest.id} cannot be used: ${detail}`, { cause });
