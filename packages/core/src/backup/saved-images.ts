import * as v from 'valibot';
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
const SavedSchema = v.object({
  format: v.string(),
  backingFile: v.optional(v.nullable(v.string()), null),
  dataFile: v.optional(v.nullable(v.string()), null),
  encrypted: v.optional(v.boolean(), false),
  clusterSize: v.optional(v.nullable(v.pipe(v.number(), v.safeInteger(), v.minValue(1))), null),
  qcow2: v.optional(
    v.fallback(
      v.nullable(
        v.object({
          compat: v.picklist(['0.10', '1.1']),
          lazyRefcounts: v.boolean(),
          extendedL2: v.boolean(),
          refcountBits: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
          compression: v.picklist(['zlib', 'zstd']),
        }),
      ),
      null,
    ),
    null,
  ),
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
    const image = v.safeParse(SavedSchema, jsonOf(content));
    if (image.success) images.set(name.slice(0, -SUFFIX.length), image.output);
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
