import type { Checkpoint } from '@vbackup/core';
import * as v from 'valibot';
import { BitmapEvidenceSchema } from '../dirty-bitmap.js';

const CheckpointSchema = v.object({
  version: v.literal(1),
  kind: v.literal('nbd'),
  /** Bytes of the export. */
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  bitmap: v.nullable(BitmapEvidenceSchema),
});

/** What a later backup has to know about this one: how large the export was, and the bitmap as it was. */
export type NbdCheckpoint = v.InferOutput<typeof CheckpointSchema>;

/** Null where it is not one of ours. */
export function parseCheckpoint(checkpoint: Checkpoint): NbdCheckpoint | null {
  const parsed = v.safeParse(CheckpointSchema, checkpoint);
  return parsed.success ? parsed.output : null;
}
