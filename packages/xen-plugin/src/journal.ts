import { type JsonObject, VBackupError } from '@vbackup/core';
import { z } from 'zod';

/** What is about to be done on the pool, noted before it is. Everything is named by uuid: references may change. */
const EntrySchema = z.discriminatedUnion('step', [
  z.object({ step: z.literal('enable-cbt'), disk: z.string() }),
  z.object({
    step: z.literal('snapshot-disk'),
    disk: z.string(),
    /** The snapshots that the disk had before. */
    existing: z.array(z.string()),
    /** By the host's clock, where it tells; ISO 8601. */
    time: z.string(),
  }),
  z.object({ step: z.literal('snapshot-machine'), machine: z.string(), name: z.string() }),
  z.object({
    step: z.literal('made'),
    /** The machine's snapshot, if there is one. */
    machine: z.string().nullable(),
    disks: z.array(z.object({ disk: z.string(), snapshot: z.string() })),
    /** Bases of earlier backups, which this one replaces once it is committed. */
    replaces: z.array(z.string()),
    /** Whether the snapshot becomes the base of later increments. */
    keep: z.boolean(),
    owner: z.object({ repositoryId: z.string(), guestId: z.string() }),
  }),
]);

export type JournalEntry = z.infer<typeof EntrySchema>;
export type MadeEntry = Extract<JournalEntry, { readonly step: 'made' }>;

/** @throws VBackupError VB_XEN_JOURNAL */
export function parseEntries(entries: readonly JsonObject[]): readonly JournalEntry[] {
  const parsed = z.array(EntrySchema).safeParse(entries);
  if (parsed.success) return parsed.data;
  throw new VBackupError('VB_XEN_JOURNAL', 'the journal of the last run holds an entry that is not known', {
    cure: 'it was written by another version of vbackup: let that version finish with one more backup',
  });
}
