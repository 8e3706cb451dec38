import { alignOutward, clip, type Extent, subtract } from '../../extent/index.js';
import { frameLengthOf } from '../copy/geometry.js';

/** One of `shares` equal shares of a disk, counted from 0. */
export interface AuditShare {
  readonly shares: number;
  readonly share: number;
}

export interface AuditedDisk {
  readonly size: number;
  /** What the copy reads anyway: ascending and disjoint. */
  readonly changed: Iterable<Extent>;
  /** What is read grows outward to multiples of this. */
  readonly unit: number;
}

/**
 * What of a share is not read by the copy: blocks as long as the disk's frames, every `shares`th of them. Whole units, so
 * that reading it touches nothing that changed. Ascending and disjoint.
 */
export function* auditExtents(disk: AuditedDisk, share: AuditShare): Generator<Extent> {
  const whole = { offset: 0, length: disk.size };
  const audited = clip(alignOutward(auditBlocks(disk.size, share), disk.unit), whole);
  yield* subtract(audited, clip(alignOutward(disk.changed, disk.unit), whole));
}

/** The blocks of a share; all shares together are the disk, once. */
export function* auditBlocks(size: number, { shares, share }: AuditShare): Generator<Extent> {
  const length = frameLengthOf(size);
  for (let offset = share * length; offset < size; offset += shares * length) {
    yield { offset, length: Math.min(length, size - offset) };
  }
}
