import type { Checkpoint } from '@vbackup/core';
import { z } from 'zod';
import { BitmapEvidenceSchema } from '../dirty-bitmap.js';

const CheckpointSchema = z.object({
  version: z.literal(1),
  kind: z.literal('file'),
  /** For people; the place of the backup decides which disk it is. */
  path: z.string(),
  format: z.enum(['raw', 'qcow2', 'vpc', 'vhdx', 'vmdk', 'vdi']),
  /** Bytes of the disk. */
  size: z.number().int().nonnegative(),
  bitmap: BitmapEvidenceSchema.nullable(),
});

/** What a later backup has to know about this one: how the image was read, and the bitmap as it was. */
export type FileCheckpoint = z.infer<typeof CheckpointSchema>;

/** Null where it is not one of ours. */
export function parseCheckpoint(checkpoint: Checkpoint): FileCheckpoint | null {
  const parsed = CheckpointSchema.safeParse(checkpoint);
  return parsed.success ? parsed.data : null;
}
