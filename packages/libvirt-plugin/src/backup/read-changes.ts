import { type Changes, clip, coalesce, type Extent, type WithSignal } from '@vbackup/core';
import { type Base, changesWithoutBitmap, shrunk } from './base.js';
import type { JobExport } from './context.js';

/** So many extents of one disk are held in memory; beyond that, near ones are joined, with what lies between. */
const EXTENT_LIMIT = 500_000;
const FIRST_GAP = 64 * 1024;

export interface ChangesQuestion {
  readonly target: string;
  /** The meta context of the bitmap that has recorded since the base; null if there is none. */
  readonly context: string | null;
  readonly base: Base;
}

/** What changed on a disk since the base. Dirty is whatever has a flag, known or not, and all that the disk has grown by. */
export async function readChanges(
  source: JobExport,
  { target, context, base }: ChangesQuestion,
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
  return { kind: 'since', extents, method: 'dirty-bitmap' };
}

async function dirtyExtents(source: JobExport, context: string, options: WithSignal): Promise<readonly Extent[]> {
  let extents: Extent[] = [];
  let gap = 0;
  for await (const { offset, length, flags } of source.blockStatus(
    context,
    { offset: 0, length: source.size },
    options,
  )) {
    if (flags === 0) continue;
    extents.push({ offset, length });
    while (extents.length > EXTENT_LIMIT) {
      gap = Math.max(FIRST_GAP, gap * 2);
      extents = [...coalesce(extents, { gap })];
    }
  }
  return extents;
}
