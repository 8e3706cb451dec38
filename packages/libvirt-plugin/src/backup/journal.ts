import { type JsonObject, VBackupError } from '@vbackup/core';
import { z } from 'zod';

const domain = z.string();
const owner = z.object({ repositoryId: z.string(), guestId: z.string() });

/** What is about to be done to a domain, noted before it is. */
const EntrySchema = z.discriminatedUnion('step', [
  z.object({ step: z.literal('freeze'), domain }),
  z.object({ step: z.literal('thawed'), domain }),
  z.object({ step: z.literal('pause'), domain }),
  z.object({ step: z.literal('resumed'), domain }),
  /** Libvirt said what became of the job that it was asked to begin: what it knows of it from then on can be believed. */
  z.object({ step: z.literal('answered'), domain }),
  z.object({ step: z.literal('redefine-checkpoint'), domain, checkpoint: z.string() }),
  z.object({ step: z.literal('drop-checkpoint'), domain, checkpoint: z.string() }),
  z.object({
    step: z.literal('job'),
    domain,
    /** Null if the job is one on another host, over TCP. */
    socket: z.string().nullable(),
    scratches: z.array(z.string()),
    /** That is made with the job; null if there is none. */
    checkpoint: z.string().nullable(),
    /** Whether this backup replaces the checkpoints of earlier ones once it is committed. */
    keep: z.boolean(),
    owner,
  }),
  /** The images of a domain that is off get bitmaps, libvirt is told of the checkpoint, and servers are started. */
  z.object({
    step: z.literal('offline'),
    domain,
    /** Of the servers. */
    folders: z.array(z.string()),
    /** Null if no later increment shall stand on this backup, or no disk has a place for bitmaps. */
    checkpoint: z.string().nullable(),
    /** Seconds since 1970, as in the checkpoint. */
    creationTime: z.number().int().nonnegative(),
    /** The checkpoint of the last backup, also where libvirt has forgotten it. */
    replaces: z.string().nullable(),
    keep: z.boolean(),
    owner,
    /** All images of the domain that have a place for bitmaps. */
    images: z.array(z.object({ target: z.string(), path: z.string(), format: z.string() })),
  }),
]);

export type JournalEntry = z.infer<typeof EntrySchema>;
export type JobEntry = Extract<JournalEntry, { readonly step: 'job' }>;
export type OfflineEntry = Extract<JournalEntry, { readonly step: 'offline' }>;

/** @throws VBackupError VB_LIBVIRT_JOURNAL */
export function parseEntries(entries: readonly JsonObject[]): readonly JournalEntry[] {
  const parsed = z.array(EntrySchema).safeParse(entries);
  if (parsed.success) return parsed.data;
  throw new VBackupError('VB_LIBVIRT_JOURNAL', 'the journal of the last run holds an entry that is not known', {
    cure: 'it was written by another version of vbackup: let that version finish with one more backup',
  });
}
