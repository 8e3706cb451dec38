import * as v from 'valibot';
import { VBackupError } from '../errors/index.js';
import { shapeError } from '../errors/shape-fault.js';

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
const InfoSchema = v.object({
  format: v.string(),
  'virtual-size': v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  'backing-filename': v.optional(v.string()),
  'full-backing-filename': v.optional(v.string()),
  'backing-filename-format': v.optional(v.string()),
  encrypted: v.optional(v.boolean()),
  'cluster-size': v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  'format-specific': v.optional(
    v.object({
      data: v.optional(
        v.object({
          'data-file': v.optional(v.string()),
          compat: v.optional(v.string()),
          'lazy-refcounts': v.optional(v.boolean()),
          'extended-l2': v.optional(v.boolean()),
          'refcount-bits': v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
          'compression-type': v.optional(v.string()),
          bitmaps: v.optional(
            v.array(
              v.object({
                name: v.string(),
                granularity: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
                flags: v.array(v.string()),
              }),
            ),
          ),
        }),
      ),
    }),
  ),
});

/**
 * Reads what `qemu-img info --output=json` printed.
 * @throws VBackupError VB_QEMU_FAILED if it is anything else
 */
export function parseImageInfo(text: string, path: string): ImageInfo {
  const parsed = v.safeParse(InfoSchema, jsonOf(text));
  if (!parsed.success) {
    throw new VBackupError('VB_QEMU_FAILED', `qemu-img says nothing of use about ${path}`, {
      cause: shapeError(parsed.issues),
    });
  }
  const { format, encrypted, 'virtual-size': virtualSize, 'backing-filename': backing } = parsed.output;
  const specific = parsed.output['format-specific']?.data;
  return {
    format,
    virtualSize,
    backingFile: backing ?? null,
    backingPath: parsed.output['full-backing-filename'] ?? backing ?? null,
    backingFormat: parsed.output['backing-filename-format'] ?? null,
    dataFile: specific?.['data-file'] ?? null,
    encrypted: encrypted ?? false,
    clusterSize: parsed.output['cluster-size'] ?? null,
    qcow2: format === 'qcow2' ? qcow2Of(specific) : null,
    bitmaps: (specific?.bitmaps ?? []).map(({ name, granularity, flags }) => ({
      name,
      granularity,
      auto: flags.includes('auto'),
      inUse: flags.includes('in-use'),
    })),
  };
}

type Specific = NonNullable<v.InferOutput<typeof InfoSchema>['format-specific']>['data'];

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
