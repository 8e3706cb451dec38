import { z } from 'zod';
import { VBackupError } from '../errors/index.js';

/** What `qemu-img info` says of an image. */
export interface ImageInfo {
  /** QEMU's name: `raw`, `qcow2`, `vpc` (VHD), `vhdx`, `vmdk`, `vdi`. */
  readonly format: string;
  readonly virtualSize: number;
  /** The image that this one stands on, as its header names it. */
  readonly backingFile: string | null;
  /** Where that image is found from here; null where the header names none. */
  readonly backingPath: string | null;
  /** Its format, as the header tells it; null where it does not, so that QEMU would guess. */
  readonly backingFormat: string | null;
  /** Where the clusters of a qcow2 lie in a file of their own. */
  readonly dataFile: string | null;
  readonly bitmaps: readonly DirtyBitmap[];
  readonly encrypted: boolean;
  /** Bytes per cluster; null where the format has none. */
  readonly clusterSize: number | null;
  /** How a qcow2 is made; null of other formats. */
  readonly qcow2: Qcow2Features | null;
}

/** What `qemu-img create -o` decides of a qcow2, besides its clusters. */
export interface Qcow2Features {
  /** `0.10` (version 2, which has no place for dirty bitmaps) or `1.1`. */
  readonly compat: string;
  readonly lazyRefcounts: boolean;
  readonly extendedL2: boolean;
  readonly refcountBits: number;
  /** Of clusters that are compressed: `zlib` or `zstd`. */
  readonly compression: string;
}

/** A persistent dirty bitmap of a qcow2. */
export interface DirtyBitmap {
  readonly name: string;
  /** Bytes per bit. */
  readonly granularity: number;
  /** It records writes. */
  readonly auto: boolean;
  /** It was not closed properly: it may have missed writes. */
  readonly inUse: boolean;
}

/** QEMU's `ImageInfo` (qapi/block-core.json), as far as it is used here. */
const InfoSchema = z.object({
  format: z.string(),
  'virtual-size': z.number().int().nonnegative(),
  'backing-filename': z.string().optional(),
  'full-backing-filename': z.string().optional(),
  'backing-filename-format': z.string().optional(),
  encrypted: z.boolean().optional(),
  'cluster-size': z.number().int().positive().optional(),
  'format-specific': z
    .object({
      data: z
        .object({
          'data-file': z.string().optional(),
          compat: z.string().optional(),
          'lazy-refcounts': z.boolean().optional(),
          'extended-l2': z.boolean().optional(),
          'refcount-bits': z.number().int().positive().optional(),
          'compression-type': z.string().optional(),
          bitmaps: z
            .array(
              z.object({
                name: z.string(),
                granularity: z.number().int().positive(),
                flags: z.array(z.string()),
              }),
            )
            .optional(),
        })
        .optional(),
    })
    .optional(),
});

/**
 * Reads what `qemu-img info --output=json` printed.
 * @throws VBackupError VB_QEMU_FAILED if it is anything else
 */
export function parseImageInfo(text: string, path: string): ImageInfo {
  const parsed = InfoSchema.safeParse(jsonOf(text));
  if (!parsed.success) {
    throw new VBackupError('VB_QEMU_FAILED', `qemu-img says nothing of use about ${path}`, { cause: parsed.error });
  }
  const { format, encrypted, 'virtual-size': virtualSize, 'backing-filename': backing } = parsed.data;
  const specific = parsed.data['format-specific']?.data;
  return {
    format,
    virtualSize,
    backingFile: backing ?? null,
    backingPath: parsed.data['full-backing-filename'] ?? backing ?? null,
    backingFormat: parsed.data['backing-filename-format'] ?? null,
    dataFile: specific?.['data-file'] ?? null,
    encrypted: encrypted ?? false,
    clusterSize: parsed.data['cluster-size'] ?? null,
    qcow2: format === 'qcow2' ? qcow2Of(specific) : null,
    bitmaps: (specific?.bitmaps ?? []).map(({ name, granularity, flags }) => ({
      name,
      granularity,
      auto: flags.includes('auto'),
      inUse: flags.includes('in-use'),
    })),
  };
}

type Specific = NonNullable<z.infer<typeof InfoSchema>['format-specific']>['data'];

/** What QEMU leaves out is as in images that know nothing of it. */
const qcow2Of = (specific: Specific): Qcow2Features => ({
  compat: specific?.compat ?? '1.1',
  lazyRefcounts: specific?.['lazy-refcounts'] ?? false,
  extendedL2: specific?.['extended-l2'] ?? false,
  refcountBits: specific?.['refcount-bits'] ?? 16,
  compression: specific?.['compression-type'] ?? 'zlib',
});

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
