import type { JsonObject } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';

/** What is about to be done on the pool, noted before it is. Everything is named by uuid: references may change. */
const EntrySchema = v.variant('step', [
  v.object({ step: v.literal('enable-cbt'), disk: v.string() }),
  v.object({
    step: v.literal('snapshot-disk'),
    disk: v.string(),
    /** The snapshots that the disk had before. */
    existing: v.array(v.string()),
    /** By the host's clock, where it tells; ISO 8601. */
    time: v.string(),
  }),
  v.object({ step: v.literal('snapshot-machine'), machine: v.string(), name: v.string() }),
  v.object({
    step: v.literal('made'),
    /** The machine's snapshot, if there is one. */
    machine: v.nullable(v.string()),
    disks: v.array(v.object({ disk: v.string(), snapshot: v.string() })),
    /** Bases of earlier backups, which this one replaces once it is committed. */
    replaces: v.array(v.string()),
    /** Whether the snapshot becomes the base of later increments. */
    keep: v.boolean(),
    owner: v.object({ repositoryId: v.string(), guestId: v.string() }),
  }),
]);

export type JournalEntry = v.InferOutput<typeof EntrySchema>;
export type MadeEntry = Extract<JournalEntry, { readonly step: 'made' }>;

/** @throws VBackupError VB_XEN_JOURNAL */
export function parseEntries(entries: readonly JsonObject[]): readonly JournalEntry[] {
  const parsed = v.safeParse(v.array(EntrySchema), entries);
  if (parsed.success) return parsed.output;
  throw new VBackupError('VB_XEN_JOURNAL', 'the journal of the last run holds an entry that is not known', {
    cure: 'it was written by another version of vbackup: let that version finish with one more backup',
  });
}
