import type { Extent, NbdClient, WithSignal } from '@vbackup/core';
import { clip, coalesce, intersect, totalLength } from '@vbackup/core/extent';
import { allocationKind } from '@vbackup/core/nbd/protocol-flags';
import * as v from 'valibot';

/** So many extents of one bitmap are held in memory; beyond that, near ones are joined. */
const EXTENT_LIMIT = 500_000;
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
  /**
   * What reads as zeros without being read; ascending and disjoint. QEMU notes nothing of what a disk loses when it is
   * made smaller and then larger again, so that these are compared as well: it costs no reading.
   */
  readonly zeros: readonly Extent[];
}

const ALLOCATION = 'base:allocation';

/**
 * What a meta context such as `qemu:dirty-bitmap:NAME` says of the whole disk: dirty is whatever has a flag, known or not. The
 * server's answers tell what is zero as well, where it knows.
 */
export async function readBitmap(
  client: NbdClient,
  context: string,
  options: WithSignal = {},
): Promise<Pick<SeenBitmap, 'dirty' | 'zeros'>> {
  const dirty = new BoundedExtents(EXTENT_LIMIT);
  const zeros = new BoundedExtents(EXTENT_LIMIT);
  const whole = { offset: 0, length: client.size };
  const contexts = client.metaContexts.includes(ALLOCATION) ? [context, ALLOCATION] : [context];
  for await (const { context: told, offset, length, flags } of client.blockStatus(contexts, whole, options)) {
    if (told === context && flags !== 0) dirty.push({ offset, length });
    if (told === ALLOCATION && allocationKind(flags) !== 'data') zeros.push({ offset, length });
  }
  return { dirty: dirty.extents, zeros: zeros.extents };
}

/** Ascending extents; when there are too many, those that lie nearest are joined: what lies between is then included. */
export class BoundedExtents {
  readonly #limit: number;
  #extents: Extent[] = [];
  #gap = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(extent: Extent): void {
    this.#extents.push(extent);
    while (this.#extents.length > this.#limit) {
      this.#gap = Math.max(64 * 1024, this.#gap * 2);
      this.#extents = [...coalesce(this.#extents, { gap: this.#gap })];
    }
  }

  get extents(): Extent[] {
    return [...coalesce(this.#extents)];
  }
}

/** What a later backup compares the bitmap with. */
export function evidenceOf({ name, granularity, file, dirty }: SeenBitmap): BitmapEvidence {
  const cover = new BoundedExtents(COVER_LIMIT);
  for (const extent of dirty) cover.push(extent);
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
  readonly now: { readonly size: number; readonly bitmap: Pick<SeenBitmap, 'dirty' | 'zeros'> };
}

/**
 * Dirty ranges and zeros within the disk, and all that the disk has grown by. What was dirty at the last backup is dirty
 * still, unless the image is an older one again, with the bitmap that it had then: so that counts as well.
 */
export function changedRanges({ before, now }: BitmapTimes): Extent[] {
  const { dirty, zeros } = now.bitmap;
  const grown = now.size > before.size ? [{ offset: before.size, length: now.size - before.size }] : [];
  const all = [...dirty, ...zeros, ...extentsOf(before.bitmap.cover), ...grown];
  all.sort((left, right) => left.offset - right.offset);
  return [...clip(coalesce(all), { offset: 0, length: now.size })];
}
