import type { Checkpoint } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';

const CheckpointSchema = v.object({
  version: v.literal(1),
  disks: v.array(
    v.object({
      /** The live disk. */
      vdi: v.string(),
      /** The snapshot that the next increment is computed from; null if its changes were not tracked. */
      baseSnapshot: v.nullable(v.string()),
      size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      sr: v.string(),
    }),
  ),
});

/** What a later run needs in order to ask what changed since this one. */
export type XenCheckpoint = v.InferOutput<typeof CheckpointSchema>;
export type CheckpointDisk = XenCheckpoint['disks'][number];

/** @throws VBackupError VB_XEN_CHECKPOINT */
export function parseCheckpoint(checkpoint: Checkpoint): XenCheckpoint {
  const parsed = v.safeParse(CheckpointSchema, checkpoint);
  if (parsed.success) return parsed.output;
  throw new VBackupError('VB_XEN_CHECKPOINT', 'the checkpoint of the last backup is not one of the xen plugin');
}

/** Null if no increment could stand on any of the disks. */
export function makeCheckpoint(disks: readonly CheckpointDisk[]): Checkpoint | null {
  if (disks.every(({ baseSnapshot }) => baseSnapshot === null)) return null;
  return { version: 1, disks: disks.map((disk) => ({ ...disk })) };
}
