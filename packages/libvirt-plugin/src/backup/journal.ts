import type { JsonObject } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';

const domain = v.string();
const owner = v.object({ repositoryId: v.string(), guestId: v.string() });

/** What is about to be done to a domain, noted before it is. */
const EntrySchema = v.variant('step', [
  v.object({ step: v.literal('freeze'), domain }),
  v.object({ step: v.literal('thawed'), domain }),
  v.object({ step: v.literal('pause'), domain }),
  v.object({ step: v.literal('resumed'), domain }),
  /** Libvirt said what became of the job that it was asked to begin: what it knows of it from then on can be believed. */
  v.object({ step: v.literal('answered'), domain }),
  v.object({ step: v.literal('redefine-checkpoint'), domain, checkpoint: v.string() }),
  v.object({ step: v.literal('drop-checkpoint'), domain, checkpoint: v.string() }),
  v.object({
    step: v.literal('job'),
    domain,
    /** Null if the job is one on another host, over TCP. */
    socket: v.nullable(v.string()),
    scratches: v.array(v.string()),
    /** That is made with the job; null if there is none. */
    checkpoint: v.nullable(v.string()),
    /** Whether this backup replaces the checkpoints of earlier ones once it is committed. */
    keep: v.boolean(),
    owner,
  }),
  /** The images of a domain that is off get bitmaps, libvirt is told of the checkpoint, and servers are started. */
  v.object({
    step: v.literal('offline'),
    domain,
    /** Of the servers. */
    folders: v.array(v.string()),
    /** Null if no later increment shall stand on this backup, or no disk has a place for bitmaps. */
    checkpoint: v.nullable(v.string()),
    /** Seconds since 1970, as in the checkpoint. */
    creationTime: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
    /** The checkpoint of the last backup, also where libvirt has forgotten it. */
    replaces: v.nullable(v.string()),
    keep: v.boolean(),
    owner,
    /** All images of the domain that have a place for bitmaps. */
    images: v.array(v.object({ target: v.string(), path: v.string(), format: v.string() })),
  }),
]);

export type JournalEntry = v.InferOutput<typeof EntrySchema>;
export type JobEntry = Extract<JournalEntry, { readonly step: 'job' }>;
export type OfflineEntry = Extract<JournalEntry, { readonly step: 'offline' }>;

/** @throws VBackupError VB_LIBVIRT_JOURNAL */
export function parseEntries(entries: readonly JsonObject[]): readonly JournalEntry[] {
  const parsed = v.safeParse(v.array(EntrySchema), entries);
  if (parsed.success) return parsed.output;
  throw new VBackupError('VB_LIBVIRT_JOURNAL', 'the journal of the last run holds an entry that is not known', {
    cure: 'it was written by another version of vbackup: let that version finish with one more backup',
  });
}
