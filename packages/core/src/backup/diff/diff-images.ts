import { type Extent, endOf } from '../../extent/index.js';
import type { WithSignal } from '../../hypervisor/index.js';
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
  const candidates = unsure(from, to, { signal });
  return differingExtents({ from, to, size: to.size, candidates, signal });
}

async function* unsure(from: ImageReader, to: ImageReader, options: WithSignal): AsyncGenerator<Extent> {
  const range = { offset: 0, length: to.size };
  if (range.length === 0) return;
  const older = grown(from.fingerprints(range, options), to.size);
  for await (const { offset, length, left, right } of overlaps(older, to.fingerprints(range, options))) {
    if (!isSame(left, right)) yield { offset, length };
  }
}

/** A cover of a shorter disk, with zeros behind it. */
export async function* grown(fingerprints: AsyncIterable<Fingerprint>, size: number): AsyncGenerator<Fingerprint> {
  let end = 0;
  for await (const fingerprint of fingerprints) {
    yield fingerprint;
    end = endOf(fingerprint);
  }
  if (end < size) yield { kind: 'zero', offset: end, length: size - end, digest: null };
}

function isSame(left: Fingerprint, right: Fingerprint): boolean {
  if (left.kind === 'zero' && right.kind === 'zero') return true;
  if (left.frame === undefined || right.frame === undefined) return false;
  return left.frame.offset === right.frame.offset && left.frame.digest.equals(right.frame.digest);
}
