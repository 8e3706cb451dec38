import type { Checkpoint } from '@vbackup/core';
import * as v from 'valibot';
import { BitmapEvidenceSchema } from '../dirty-bitmap.js';

const CheckpointSchema = v.object({
  version: v.literal(1),
  kind: v.literal('file'),
  /** For people; the place of the backup decides which disk it is. */
  path: v.string(),
  format: v.picklist(['raw', 'qcow2', 'vpc', 'vhdx', 'vmdk', 'vdi']),
  /** Bytes of the disk. */
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  bitmap: v.nullable(BitmapEvidenceSchema),
});

/** What a later backup has to know about this one: how the image was read, and the bitmap as it was. */
export type FileCheckpoint = v.InferOutput<typeof CheckpointSchema>;

/** Null where it is not one of ours. */
export function parseCheckpoint(checkpoint: Checkpoint): FileCheckpoint | null {
  const parsed = v.safeParse(CheckpointSchema, checkpoint);
  return parsed.success ? parsed.output : null;
}
