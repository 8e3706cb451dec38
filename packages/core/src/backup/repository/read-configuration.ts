import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import type { ConfigurationFile } from '../../hypervisor/index.js';
import { withIo } from '../../storage/io-error.js';
import type { Manifest } from '../manifest.js';
import type { Repository } from '../repository.js';
import { sidePath } from './names.js';

/**
 * The machine's records of a backup, as its plugin gave them, in their order.
 * @param wanted - which of them, by name; default all. A kernel among them may have a hundred megabytes.
 * @throws VBackupError VB_FILE_MISSING, VB_FILE_DIGEST, VB_IO
 */
export async function readConfiguration(
  repository: Repository,
  manifest: Manifest,
  wanted: (name: string) => boolean = () => true,
): Promise<ConfigurationFile[]> {
  const prefix = sidePath(manifest.id, '');
  const files: ConfigurationFile[] = [];
  for (const { path, sha256 } of manifest.files) {
    if (!path.startsWith(prefix) || path.endsWith('.index')) continue;
    const name = path.slice(prefix.length);
    if (!wanted(name)) continue;
    const absolute = join(repository.location, manifest.chain, path);
    const content = await withIo(`cannot read ${absolute}`, () => readFile(absolute));
    if (createHash('sha256').update(content).digest('hex') !== sha256) {
      const cure = 'run vbackup verify; the disks of the backup can be restored without this file';
      throw new VBackupError('VB_FILE_DIGEST', `${absolute} is not what its manifest says`, { cure });
    }
    files.push({ name, content });
  }
  return files;
}
