import type { Checkpoint } from '@vbackup/core';
import { z } from 'zod';
import { BitmapEvidenceSchema } from '../dirty-bitmap.js';

const CheckpointSchema = z.object({
  version: z.literal(1),
  kind: z.literal('nbd'),
  /** Bytes of the export. */
  size: z.number().int().nonnegative(),
  bitmap: BitmapEvidenceSchema.nullable(),
});

/** What a later backup has to know about this one: how large the export was, and the bitmap as it was. */
export type NbdCheckpoint = z.infer<typeof CheckpointSchema>;

/** Null where it is not one of ours. */
export function parseCheckpoint(checkpoint: Checkpoint): NbdCheckpoint | null {
  const parsed = CheckpointSchema.safeParse(checkpoint);
  return parsed.success ? parsed.data : null;
}
