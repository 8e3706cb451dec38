import { type Checkpoint, VBackupError } from '@vbackup/core';
import { z } from 'zod';

const RecordSchema = z.object({
  version: z.literal(1),
  /** The domain's uuid. */
  domain: z.string(),
  /** The name of the checkpoint and of its bitmaps; null if no disk could have one. */
  name: z.string().nullable(),
  /** Seconds since 1970, for a redefinition. */
  creationTime: z.number().int().nonnegative(),
  disks: z.array(
    z.object({
      target: z.string(),
      size: z.number().int().nonnegative(),
      /** Whether a dirty bitmap has recorded its changes since. */
      bitmap: z.boolean(),
    }),
  ),
});

/** What a later run needs in order to ask what changed since this one. */
export type LibvirtCheckpoint = z.infer<typeof RecordSchema>;

/** @throws VBackupError VB_LIBVIRT_CHECKPOINT */
export function parseCheckpointRecord(checkpoint: Checkpoint): LibvirtCheckpoint {
  const parsed = RecordSchema.safeParse(checkpoint);
  if (parsed.success) return parsed.data;
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
