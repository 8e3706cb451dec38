import { z } from 'zod';
import type { ConfigurationFile } from '../hypervisor/index.js';
import type { ImageInfo, Qcow2Shape } from '../qemu/index.js';
import type { Manifest } from './manifest.js';
import { readConfiguration } from './repository/read-configuration.js';
import type { Repository } from './repository.js';

const SUFFIX = '.image.json';

/** What a backup knows of the image that a disk lay in: enough to make one like it. */
export interface SavedImage extends Qcow2Shape {
  /** QEMU's name. */
  readonly format: string;
  /** The restored image needs none of these: it holds everything itself, in the clear. */
  readonly backingFile: string | null;
  readonly dataFile: string | null;
  readonly encrypted: boolean;
}

/** The record of a disk's image, for a plugin whose disks lie in images; of one that cannot be looked into, its format. */
export const imageRecord = (disk: string, info: Pick<ImageInfo, 'format'> & Partial<ImageInfo>): ConfigurationFile => ({
  name: `${disk}${SUFFIX}`,
  content: Buffer.from(`${JSON.stringify(info, null, 2)}\n`),
});

/** Older versions saved less. */
const SavedSchema = z.object({
  format: z.string(),
  backingFile: z.string().nullable().default(null),
  dataFile: z.string().nullable().default(null),
  encrypted: z.boolean().default(false),
  clusterSize: z.number().int().positive().nullable().default(null),
  qcow2: z
    .object({
      compat: z.enum(['0.10', '1.1']),
      lazyRefcounts: z.boolean(),
      extendedL2: z.boolean(),
      refcountBits: z.number().int().positive(),
      compression: z.enum(['zlib', 'zstd']),
    })
    .nullable()
    .catch(null)
    .default(null),
});

/**
 * What {@link imageRecord} saved with a backup, by the disk's name. A disk that nothing is known of is missing.
 * @throws VBackupError VB_FILE_DIGEST, VB_IO
 */
export async function savedImages(
  repository: Repository,
  manifest: Manifest,
): Promise<ReadonlyMap<string, SavedImage>> {
  const files = await readConfiguration(repository, manifest, (name) => name.endsWith(SUFFIX));
  const images = new Map<string, SavedImage>();
  for (const { name, content } of files) {
    const image = SavedSchema.safeParse(jsonOf(content));
    if (image.success) images.set(name.slice(0, -SUFFIX.length), image.data);
  }
  return images;
}

/** Undefined for what is none: another plugin may call a file so. */
function jsonOf(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    return undefined;
  }
}
