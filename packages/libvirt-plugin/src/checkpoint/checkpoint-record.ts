import type { Checkpoint } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';

const RecordSchema = v.object({
  version: v.literal(1),
  /** The domain's uuid. */
  domain: v.string(),
  /** The name of the checkpoint and of its bitmaps; null if no disk could have one. */
  name: v.nullable(v.string()),
  /** Seconds since 1970, for a redefinition. */
  creationTime: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  disks: v.array(
    v.object({
      target: v.string(),
      size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      /** Whether a dirty bitmap has recorded its changes since. */
      bitmap: v.boolean(),
    }),
  ),
});

/** What a later run needs in order to ask what changed since this one. */
export type LibvirtCheckpoint = v.InferOutput<typeof RecordSchema>;

/** @throws VBackupError VB_LIBVIRT_CHECKPOINT */
export function parseCheckpointRecord(checkpoint: Checkpoint): LibvirtCheckpoint {
  const parsed = v.safeParse(RecordSchema, checkpoint);
  if (parsed.success) return parsed.output;
  throw new VBackupError(
    'VB_LIBVIRT_CHECKPOINT',
    'the checkpoint of the last backup is not one of the libvirt plugin',
    {
      cure: 'make a full backup: it begins a new chain',
    },
  );
}

export function checkpointRecord({ disks, ...more }: LibvirtCheckpoint): Checkpoint {
  return { ...more, disks: disks.map((disk) => ({ ...disk })) };
}
