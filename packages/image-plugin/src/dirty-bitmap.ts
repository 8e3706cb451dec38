import type { Extent, NbdClient, WithSignal } from '@vbackup/core';
import { clip, coalesce, ExtentList, intersect, totalLength } from '@vbackup/core/extent';
import * as v from 'valibot';

/** So many extents are kept in a checkpoint, spread over the disk … */
const SAMPLE_LIMIT = 512;
/** … and so many that cover all that were dirty. */
const COVER_LIMIT = 4096;

/** Offsets and lengths. */
const RangesSchema = v.array(
  v.tuple([v.pipe(v.number(), v.safeInteger(), v.minValue(0)), v.pipe(v.number(), v.safeInteger(), v.minValue(1))]),
);
type Ranges = v.InferOutput<typeof RangesSchema>;

/** A dirty bitmap as a backup saw it. */
export const BitmapEvidenceSchema = v.object({
  name: v.string(),
  /** Bytes per bit; null where nobody says. */
  granularity: v.nullable(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  /** See {@link SeenBitmap.file}. */
  file: v.nullable(v.string()),
  /** Ranges that were dirty then: a bitmap that records on only grows. */
  sample: RangesSchema,
  /** Holds every range that was dirty then. */
  cover: RangesSchema,
});

export type BitmapEvidence = v.InferOutput<typeof BitmapEvidenceSchema>;

/** A dirty bitmap that can be read now. */
export interface SeenBitmap {
  readonly name: string;
  readonly granularity: number | null;
  /** Tells the file that it is in from another one that took its path; null where nobody can. */
  readonly file: string | null;
  /** Ascending and disjoint. */
  readonly dirty: readonly Extent[];
  /** Bytes per cluster of the image; null where nobody says. */
  readonly clusterLength: number | null;
}

/** What a meta context such as `qemu:dirty-bitmap:NAME` says of the whole disk: dirty is whatever has a flag, known or not. */
export async function readDirty(
  client: NbdClient,
  context: string,
  options: WithSignal = {},
): Promise<readonly Extent[]> {
  const dirty = new ExtentList();
  const whole = { offset: 0, length: client.size };
  for await (const { offset, length, flags } of client.blockStatus(context, whole, options)) {
    if (flags !== 0) dirty.add({ offset, length });
  }
  return dirty.extents;
}

/** What a later backup compares the bitmap with. */
export function evidenceOf({ name, granularity, file, dirty }: SeenBitmap): BitmapEvidence {
  const cover = new ExtentList({ limit: COVER_LIMIT });
  for (const extent of dirty) cover.add(extent);
  return { name, granularity, file, sample: sampleOf(dirty), cover: rangesOf(cover.extents) };
}

const rangesOf = (extents: readonly Extent[]): Ranges => extents.map(({ offset, length }) => [offset, length]);
const extentsOf = (ranges: Ranges): readonly Extent[] => ranges.map(([offset, length]) => ({ offset, length }));

function sampleOf(dirty: readonly Extent[]): Ranges {
  const step = Math.max(1, dirty.length / SAMPLE_LIMIT);
  const sample: Extent[] = [];
  for (let at = 0; at < dirty.length; at += step) {
    const extent = dirty[Math.floor(at)];
    if (extent !== undefined) sample.push(extent);
  }
  return rangesOf(sample);
}

/**
 * Why a bitmap cannot be trusted to have recorded every write since the backup that saw it as `before`; null if it can,
 * as far as anyone can tell from outside.
 */
export function bitmapFault(before: BitmapEvidence, now: SeenBitmap): string | null {
  if (before.name !== now.name) return 'the last backup did not see it';
  if (before.file !== now.file) return 'the image is another file than at the last backup';
  if (before.granularity !== now.granularity) return 'its granularity is another one';
  if (before.sample.length === 0) return 'it was empty at the last backup, so nothing shows that it is still the same';
  const sample = extentsOf(before.sample);
  const kept = totalLength(intersect(sample, now.dirty));
  return kept === totalLength(sample) ? null : 'it was cleared or replaced since the last backup';
}

export interface BitmapTimes {
  /** What the disk and its bitmap were at the last backup. */
  readonly before: { readonly size: number; readonly bitmap: Pick<BitmapEvidence, 'cover'> };
  readonly now: { readonly size: number; readonly bitmap: Pick<SeenBitmap, 'dirty'> };
}

/**
 * Dirty ranges within the disk, and all that the disk has grown by. What was dirty at the last backup is dirty
 * still, unless the image is an older one again, with the bitmap that it had then: so that counts as well.
 */
export function changedRanges({ before, now }: BitmapTimes): Extent[] {
  const grown = now.size > before.size ? [{ offset: before.size, length: now.size - before.size }] : [];
  const all = [...now.bitmap.dirty, ...extentsOf(before.bitmap.cover), ...grown];
  all.sort((left, right) => left.offset - right.offset);
  return [...clip(coalesce(all), { offset: 0, length: now.size })];
}
