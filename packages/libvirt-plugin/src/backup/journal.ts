import { type JsonObject, VBackupError } from '@vbackup/core';
import { z } from 'zod';

const domain = z.string();

/** What is about to be done to a domain, noted before it is. */
const EntrySchema = z.discriminatedUnion('step', [
  z.object({ step: z.literal('freeze'), domain }),
  z.object({ step: z.literal('thawed'), domain }),
  z.object({ step: z.literal('pause'), domain }),
  z.object({ step: z.literal('resumed'), domain }),
  z.object({ step: z.literal('redefine-checkpoint'), domain, checkpoint: z.string() }),
  z.object({ step: z.literal('drop-checkpoint'), domain, checkpoint: z.string() }),
  z.object({
    step: z.literal('job'),
    domain,
    socket: z.string(),
    scratches: z.array(z.string()),
    /** That is made with the job; null if there is none. */
    checkpoint: z.string().nullable(),
    /** Whether this backup replaces the checkpoints of earlier ones once it is committed. */
    keep: z.boolean(),
    owner: z.object({ repositoryId: z.string(), guestId: z.string() }),
  }),
]);

export type JournalEntry = z.infer<typeof EntrySchema>;
export type JobEntry = Extract<JournalEntry, { readonly step: 'job' }>;

/** @throws VBackupError VB_LIBVIRT_JOURNAL */
export function parseEntries(entries: readonly JsonObject[]): readonly JournalEntry[] {
  const parsed = z.array(EntrySchema).safeParse(entries);
  if (parsed.success) return parsed.data;
  throw new VBackupError('VB_LIBVIRT_JOURNAL', 'the journal of the last run holds an entry that is not known', {
    cure: 'it was written by another version of vbackup: let that version finish with one more backup',
  });
}
