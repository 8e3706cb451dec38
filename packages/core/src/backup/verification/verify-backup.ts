import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ProtocolError, VBackupError } from '../../errors/index.js';
import { ignoringMissing } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import type { Manifest, ManifestDisk, ManifestFile } from '../manifest.js';
import type { Damage, VerifyOptions } from '../repository.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { verifyDisk } from './verify-disk.js';

export interface VerifyBackupOptions extends VerifyOptions {
  /** The repository's folder. */
  readonly root: string;
  readonly manifest: Manifest;
}

/** Reads every file of one backup: its size and SHA-256, and of each disk every frame against the index. */
export async function verifyBackup(options: VerifyBackupOptions): Promise<readonly Damage[]> {
  await using _workers = sharedWorkers.lease();
  const damage: Damage[] = [];
  const readable = new Set<string>();
  for (const file of options.manifest.files) {
    options.signal?.throwIfAborted();
    const found = await checkFile(file, options);
    if (found !== null) damage.push(found);
    if (found?.code !== 'VB_FILE_MISSING') readable.add(file.path);
  }
  for (const disk of options.manifest.disks) {
    for (const path of [disk.file, disk.index]) {
      if (!options.manifest.files.some((file) => file.path === path)) damage.push(unlisted(path, disk));
    }
    if (readable.has(disk.file) && readable.has(disk.index)) damage.push(...(await checkDisk(disk, options)));
  }
  return damage;
}

async function checkFile(file: ManifestFile, options: VerifyBackupOptions): Promise<Damage | null> {
  const path = join(options.root, options.manifest.chain, file.path);
  const place = { file: path, ...lostWith(file, options.manifest) };
  const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(() => stat(path)));
  if (found === null) return { code: 'VB_FILE_MISSING', message: `${path} is missing`, ...place };
  if (found.size !== file.size) {
    const message = `${path} has ${found.size} bytes instead of ${file.size}`;
    return { code: 'VB_FILE_SIZE', message, ...place };
  }
  try {
    const { sha256 } = await sharedWorkers.digestFile(path, { signal: options.signal });
    if (sha256 === file.sha256) return null;
    return { code: 'VB_FILE_DIGEST', message: `${path} has the SHA-256 ${sha256} instead of ${file.sha256}`, ...place };
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof VBackupError) return { code: error.code, message: error.message, ...place };
    throw error;
  }
}

/** What is lost with a file as a whole: without its index a disk's frames cannot be found. */
function lostWith(file: ManifestFile, manifest: Manifest): Pick<Damage, 'disk' | 'extent'> {
  const disk = manifest.disks.find(({ file: stream, index }) => stream === file.path || index === file.path);
  if (disk === undefined) return {};
  return { disk: disk.name, extent: { offset: 0, length: disk.size } };
}

async function checkDisk(disk: ManifestDisk, options: VerifyBackupOptions): Promise<readonly Damage[]> {
  const { root, manifest, signal, onEvent } = options;
  const path = join(root, manifest.chain, disk.file);
  const indexPath = join(root, manifest.chain, disk.index);
  await using file = await withIo(`cannot open ${path}`, () => open(path, 'r'));
  try {
    return await verifyDisk({ file, path, indexPath, manifest, disk, signal, onEvent });
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof VBackupError) || error.code === 'VB_INTERNAL') throw error;
    const offset = error instanceof ProtocolError ? error.offset : undefined;
    const extent = { offset: 0, length: disk.size };
    return [{ code: error.code, message: error.message, file: indexPath, offset, disk: disk.name, extent }];
  }
}

const unlisted = (path: string, disk: ManifestDisk): Damage => ({
  code: 'VB_MANIFEST_DAMAGED',
  message: `the manifest does not list ${path}`,
  file: path,
  disk: disk.name,
});
