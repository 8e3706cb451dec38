import { type Extent, endOf } from '../../extent/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
import { sameDigest } from '../frame-digest/digest-algorithm.js';
import type { Fingerprint, ImageReader } from '../image.js';
import { type ChangedExtent, differingExtents } from './differing-extents.js';
import { overlaps } from './overlaps.js';

export interface DiffImagesOptions extends WithSignal {
  /** The older one. */
  readonly from: ImageReader;
  readonly to: ImageReader;
}

/**
 * Where two backups of a disk differ, in whole pages of 64 KiB: ascending, neighbours differ in kind. Frames that both
 * have, and zeros, are told by the indexes; only where those do not tell are bytes read. What the disk has grown by was
 * zero; what it was cut by is not there.
 */
export function diffImages({ from, to, signal }: DiffImagesOptions): AsyncGenerator<ChangedExtent> {
  const candidates = unsure({ from, to, signal });
  return differingExtents({ from, to, size: to.size, candidates, signal });
}

async function* unsure(options: DiffImagesOptions): AsyncGenerator<Extent> {
  const range = { offset: 0, length: options.to.size };
  for await (const { offset, length, dirty } of changedByIndex({ ...options, range })) {
    if (dirty) yield { offset, length };
  }
}

export interface ChangedByIndexOptions extends DiffImagesOptions {
  /** Of the newer disk. */
  readonly range: Extent;
}

/**
 * Complete cover of a range, ascending, without reading a byte of either disk: what both have in the same frame, or as
 * zeros, is not dirty; all else may differ.
 */
export async function* changedByIndex(
  options: ChangedByIndexOptions,
): AsyncGenerator<Extent & { readonly dirty: boolean }> {
  const { from, to, range, signal } = options;
  if (range.length === 0) return;
  const older = grown(from.fingerprints(range, { signal }), range);
  for await (const { offset, length, left, right } of overlaps(older, to.fingerprints(range, { signal }))) {
    yield { offset, length, dirty: !isSame(left, right) };
  }
}

/** A cover of what a shorter disk has of a range, with zeros behind it. */
export async function* grown(fingerprints: AsyncIterable<Fingerprint>, range: Extent): AsyncGenerator<Fingerprint> {
  let end = range.offset;
  for await (const fingerprint of fingerprints) {
    yield fingerprint;
    end = endOf(fingerprint);
  }
  if (end < endOf(range)) yield { kind: 'zero', offset: end, length: endOf(range) - end, digest: null };
}

function isSame(left: Fingerprint, right: Fingerprint): boolean {
  if (left.kind === 'zero' && right.kind === 'zero') return true;
  if (left.frame === undefined || right.frame === undefined) return false;
  return left.frame.offset === right.frame.offset && sameDigest(left.frame.digest, right.frame.digest);
}
