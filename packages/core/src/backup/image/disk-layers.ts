import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import type { Manifest, ManifestDisk } from '../manifest.js';
import { ancestry } from '../repository/ancestry.js';
import { ignoringMissing } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';

/** One backup of a row, and the disk in it. */
export interface DiskLayer {
  readonly manifest: Manifest;
  readonly disk: ManifestDisk;
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
    await checkFiles(root, { manifest: link, disk }, manifest);
    layers.push({ manifest: link, disk });
    if (disk.level === 'full' || disk.level === 'copy') return layers.reverse();
  }
  throw new VBackupError('VB_CHAIN_BROKEN', `backup ${manifest.id}: disk ${name} has no full backup to stand on`);
}

async function checkFiles(root: string, { manifest, disk }: DiskLayer, top: Manifest): Promise<void> {
  for (const file of manifest.files.filter(({ path }) => path === disk.file || path === disk.index)) {
    const path = join(root, manifest.chain, file.path);
    const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(() => stat(path)));
    if (found?.size === file.size) continue;
    const detail = found === null ? 'is missing' : `has ${found.size} bytes instead of ${file.size}`;
    if (manifest !== top) {
      throw new VBackupError('VB_CHAIN_BROKEN', `backup ${top.id} stands on ${manifest.id}, whose ${path} ${detail}`);
    }
    throw new VBackupError(found === null ? 'VB_FILE_MISSING' : 'VB_FILE_SIZE', `backup ${top.id}: ${path} ${detail}`);
  }
}
