import { type Checkpoint, VBackupError } from '@vbackup/core';
import { z } from 'zod';

const CheckpointSchema = z.object({
  version: z.literal(1),
  disks: z.array(
    z.object({
      /** The live disk. */
      vdi: z.string(),
      /** The snapshot that the next increment is computed from; null if its changes were not tracked. */
      baseSnapshot: z.string().nullable(),
      size: z.number().int().nonnegative(),
      sr: z.string(),
    }),
  ),
});

/** What a later run needs in order to ask what changed since this one. */
export type XenCheckpoint = z.infer<typeof CheckpointSchema>;
export type CheckpointDisk = XenCheckpoint['disks'][number];

/** @throws VBackupError VB_XEN_CHECKPOINT */
export function parseCheckpoint(checkpoint: Checkpoint): XenCheckpoint {
  const parsed = CheckpointSchema.safeParse(checkpoint);
  if (parsed.success) return parsed.data;
  throw new VBackupError('VB_XEN_CHECKPOINT', 'the checkpoint of the last backup is not one of the xen plugin');
}

/** Null if no increment could stand on any of the disks. */
export function makeCheckpoint(disks: readonly CheckpointDisk[]): Checkpoint | null {
  if (disks.every(({ baseSnapshot }) => baseSnapshot === null)) return null;
  return { version: 1, disks: disks.map((disk) => ({ ...disk })) };
}
