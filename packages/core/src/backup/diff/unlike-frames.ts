import { type Extent, endOf } from '../../extent/index.js';
import type { BlockReader, WithSignal } from '../../hypervisor/index.js';
import { SlotPool } from '../../memory/slot-pool.js';
import { frameLengthOf, slotCountOf } from '../copy/geometry.js';
import type { FrameDigest } from '../frame-digest/digest-algorithm.js';
import type { Fingerprint, ImageReader } from '../image.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import { allocationOf } from './cover.js';
import { grown } from './diff-images.js';
import { readPadded } from './differing-extents.js';
import { overlaps } from './overlaps.js';

/** So many frames of the device are read and hashed at once. */
const FRAME_COUNT = 4;

export interface UnlikeFramesOptions extends WithSignal {
  readonly from: ImageReader;
  readonly to: BlockReader;
}

/** A range that may differ; where the digest is known, only if the device's bytes have another one. */
interface Question extends Extent {
  readonly digest: FrameDigest | null;
}

/**
 * Where a device may differ from a backup: not where both say that they hold zeros, and not where the device's bytes have
 * the digest of a stored frame. Nothing of the backup is read but its index.
 */
export async function* unlikeFrames({ from, to, signal }: UnlikeFramesOptions): AsyncGenerator<Extent> {
  if (to.size === 0) return;
  await using _workers = sharedWorkers.lease();
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const frameLength = frameLengthOf(from.size);
  const count = Math.min(FRAME_COUNT, slotCountOf(frameLength));
  const slots = new SlotPool({ count, length: frameLength });
  const pending: { readonly extent: Extent; readonly differs: Promise<boolean> }[] = [];
  try {
    for await (const { offset, length, digest } of questions({ from, to, signal: either })) {
      const first = pending.length === count ? pending.shift() : undefined;
      if (first !== undefined && (await first.differs)) yield first.extent;
      const extent = { offset, length };
      const differs = digest === null ? Promise.resolve(true) : hasOther({ to, extent, digest, slots, signal: either });
      differs.catch(() => undefined);
      pending.push({ extent, differs });
    }
    for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
      if (await next.differs) yield next.extent;
    }
  } finally {
    stop.abort();
    await Promise.allSettled(pending.map(({ differs }) => differs));
    slots[Symbol.dispose]();
  }
}

async function* questions({ from, to, signal }: UnlikeFramesOptions): AsyncGenerator<Question> {
  const range = { offset: 0, length: to.size };
  const fingerprints = grown(from.fingerprints(range, { signal }), range);
  let asked: Fingerprint | undefined;
  for await (const { offset, length, left, right } of overlaps(fingerprints, allocationOf(to, range, { signal }))) {
    if (left.kind === 'zero') {
      if (right.kind === 'data') yield { offset, length, digest: null };
    } else if (left.digest === null || isZeroed(left, { offset, length, kind: right.kind })) {
      yield { offset, length, digest: null };
    } else if (asked !== left) {
      // Whatever the device says of its parts, the frame is compared as a whole.
      asked = left;
      yield { offset: left.offset, length: left.length, digest: left.digest };
    }
  }
}

/** A stored frame held something: where the device says zero for all of it, it need not be asked. */
const isZeroed = (frame: Fingerprint, part: Extent & { readonly kind: string }): boolean =>
  part.kind !== 'data' && part.offset === frame.offset && endOf(part) === endOf(frame);

interface Frame {
  readonly to: BlockReader;
  readonly extent: Extent;
  readonly digest: FrameDigest;
  readonly slots: SlotPool;
  readonly signal: AbortSignal;
}

async function hasOther({ to, extent, digest, slots, signal }: Frame): Promise<boolean> {
  const slot = await slots.acquire({ signal });
  try {
    await readPadded(to, extent, slot.buffer, signal);
    const { algorithm, bytes } = digest;
    const found = await sharedWorkers.encode({ algorithm, input: slot.buffer.subarray(0, extent.length) });
    return !found.digest.equals(bytes);
  } finally {
    slot.release();
  }
}
