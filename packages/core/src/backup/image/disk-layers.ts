import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import { ignoringMissing } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import type { Manifest, ManifestDisk } from '../manifest.js';
import { ancestry } from '../repository/ancestry.js';

/** One backup of a row, and the disk in it. */
export interface DiskLayer {
  readonly manifest: Manifest;
  readonly disk: ManifestDisk;
  /** What the manifest says of the index. Through it the manifest vouches for every byte of the disk. */
  readonly indexSha256: string;
}

/**
 * What one disk of a backup is made of, the full first; every file is there and has its size.
 * @throws VBackupError VB_BACKUP_NOT_FOUND, VB_CHAIN_BROKEN, VB_FILE_MISSING, VB_FILE_SIZE
 */
export async function diskLayers(root: string, manifest: Manifest, name: string): Promise<readonly DiskLayer[]> {
  const wanted = manifest.disks.find((disk) => disk.name === name);
  if (wanted === undefined) {
    throw new VBackupError('VB_BACKUP_NOT_FOUND', `backup ${manifest.id} has no disk ${name}`, {
      cure: `it has ${manifest.disks.map((disk) => disk.name).join(', ')}`,
    });
  }
  const layers: DiskLayer[] = [];
  for (const link of await ancestry(root, manifest)) {
    const disk = link.disks.find(({ id }) => id === wanted.id);
    if (disk === undefined) {
      throw new VBackupError(
        'VB_CHAIN_BROKEN',
        `backup ${manifest.id}: its ancestor ${link.id} has no disk ${wanted.id}`,
      );
    }
    await checkFile(root, { manifest: link, path: disk.file }, manifest);
    const indexSha256 = await checkFile(root, { manifest: link, path: disk.index }, manifest);
    layers.push({ manifest: link, disk, indexSha256 });
    if (disk.level === 'full' || disk.level === 'copy') return layers.reverse();
  }
  throw new VBackupError('VB_CHAIN_BROKEN', `backup ${manifest.id}: disk ${name} has no full backup to stand on`);
}

/** @returns the file's SHA-256, as the manifest has it */
async function checkFile(
  root: string,
  { manifest, path: name }: { readonly manifest: Manifest; readonly path: string },
  top: Manifest,
): Promise<string> {
  const file = manifest.files.find(({ path }) => path === name);
  if (file === undefined) {
    throw new VBackupError('VB_CHAIN_BROKEN', `backup ${top.id}: the manifest of ${manifest.id} does not list ${name}`);
  }
  const path = join(root, manifest.chain, name);
  const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(() => stat(path)));
  if (found?.size === file.size) return file.sha256;
  const detail = found === null ? 'is missing' : `has ${found.size} bytes instead of ${file.size}`;
  if (manifest !== top) {
    throw new VBackupError('VB_CHAIN_BROKEN', `backup ${top.id} stands on ${manifest.id}, whose ${path} ${detail}`);
  }
  throw new VBackupError(found === null ? 'VB_FILE_MISSING' : 'VB_FILE_SIZE', `backup ${top.id}: ${path} ${detail}`);
}
