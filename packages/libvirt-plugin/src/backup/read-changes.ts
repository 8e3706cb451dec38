import type { Changes, Extent, WithSignal } from '@vbackup/core';
import { clip, coalesce, ExtentList } from '@vbackup/core/extent';
import { type Base, changesWithoutBitmap, shrunk } from './base.js';
import type { JobExport } from './context.js';

/** The bitmap's blocks, and QEMU's default for clusters: of an image that cannot be looked at, larger ones are not expected. */
const USUAL_CLUSTER_LENGTH = 64 * 1024;

export interface ChangesQuestion {
  readonly target: string;
  /** The meta context of the bitmap that has recorded since the base; null if there is none. */
  readonly context: string | null;
  readonly base: Base;
  /** Bytes per cluster of the image; null if they are not known. */
  readonly clusterLength: number | null;
}

/**
 * What changed on a disk since the base. Dirty is whatever has a flag, known or not, and all that the disk has grown by. QEMU cuts a
 * bitmap off with its disk (block/dirty-bitmap.c, bdrv_dirty_bitmap_truncate), and what grows again is clean.
 */
export async function readChanges(
  source: JobExport,
  { target, context, base, clusterLength }: ChangesQuestion,
  options: WithSignal,
): Promise<Changes> {
  const { size } = source;
  const entry = base.kind === 'checkpoint' ? base.record.disks.find((disk) => disk.target === target) : undefined;
  if (context === null || entry === undefined) return changesWithoutBitmap(base, { target, size });
  if (size < entry.size) return shrunk(entry.size, size);
  if (!source.metaContexts.includes(context)) {
    return { kind: 'all', reason: 'tracking-lost', detail: `QEMU does not offer the bitmap ${context}` };
  }
  const dirty = await dirtyExtents(source, context, options);
  const grown = size > entry.size ? [{ offset: entry.size, length: size - entry.size }] : [];
  const all = [...dirty, ...grown].toSorted((left, right) => left.offset - right.offset);
  const extents = [...clip(coalesce(all), { offset: 0, length: size })];
  const forgetful = { blockLength: clusterLength ?? USUAL_CLUSTER_LENGTH };
  return { kind: 'since', extents, method: 'dirty-bitmap', forgetful };
}

async function dirtyExtents(source: JobExport, context: string, options: WithSignal): Promise<readonly Extent[]> {
  const list = new ExtentList();
  const whole = { offset: 0, length: source.size };
  for await (const { offset, length, flags } of source.blockStatus(context, whole, options)) {
    if (flags !== 0) list.add({ offset, length });
  }
  return list.extents;
}
