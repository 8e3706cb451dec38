import type { Changes, Warning } from '@vbackup/core';
import { type BitmapEvidence, bitmapFault, changedRanges } from './dirty-bitmap.js';
import type { ImageSource } from './image-source.js';

/** QEMU's default: of an image that cannot be looked at, longer clusters are not expected. */
const USUAL_CLUSTER_LENGTH = 64 * 1024;

/** What the checkpoint of the last backup says of the disk. */
export interface LastTime {
  readonly size: number;
  readonly bitmap: BitmapEvidence | null;
}

export interface ChangesQuestion {
  /** Null where nothing is to stand on. */
  readonly since: LastTime | null;
  readonly source: Pick<ImageSource, 'size' | 'bitmap'>;
  readonly warn: (warning: Warning) => void;
}

/**
 * What may have changed: what the dirty bitmap says, if it can be trusted, else anything. Both are compared with the last
 * backup, for a bitmap also holds what was written before that.
 */
export function decideChanges({ since, source, warn }: ChangesQuestion): Changes {
  if (since === null) return { kind: 'all' };
  const { size, bitmap } = source;
  const { bitmap: evidence } = since;
  const whole = { kind: 'compare', extents: [{ offset: 0, length: size }], method: 'digests' } as const;
  if (bitmap === null) return whole;
  const mistrust = (fault: string): Changes => {
    warn(bitmapWarning(bitmap.name, fault));
    return whole;
  };
  if (evidence === null) return mistrust('the last backup did not see it');
  const fault = bitmapFault(evidence, bitmap);
  if (fault !== null) return mistrust(fault);
  const extents = changedRanges({ before: { size: since.size, bitmap: evidence }, now: { size, bitmap } });
  const forgetful = { blockLength: bitmap.clusterLength ?? USUAL_CLUSTER_LENGTH };
  return { kind: 'compare', extents, method: 'dirty-bitmap', forgetful };
}

/** Says why a dirty bitmap is not used. */
export const bitmapWarning = (name: string, fault: string): Warning => ({
  code: 'VB_BITMAP_UNTRUSTED',
  message: `dirty bitmap ${name} is not used, the whole disk is compared: ${fault}`,
});
